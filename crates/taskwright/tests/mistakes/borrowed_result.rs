use taskwright::task;

#[task]
async fn name() -> &'static str {
    "Ada"
}

fn main() {}
