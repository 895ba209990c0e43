use taskwright::task;

#[task]
async fn greet(name: &str) -> String {
    format!("Hello {name}")
}

fn main() {}
