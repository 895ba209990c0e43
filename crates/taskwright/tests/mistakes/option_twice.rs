use taskwright::task;

#[task(queue = "mail", queue = "post")]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

fn main() {}
