use taskwright::{Context, task};

#[task]
async fn greet(name: String, ctx: &Context) -> String {
    format!("Hello {name}, attempt {}", ctx.attempt())
}

fn main() {}
