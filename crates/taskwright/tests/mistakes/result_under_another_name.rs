use taskwright::task;

type Answer = Result<i64, String>;

#[task]
async fn answer() -> Answer {
    Ok(42)
}

fn main() {}
