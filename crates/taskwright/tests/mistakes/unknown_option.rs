use taskwright::task;

#[task(retries = 5)]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

fn main() {}
