use taskwright::task;

#[task(takes(memory = 0))]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

fn main() {}
