use taskwright::task;

#[task]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

fn main() {
    let _ = add::job(4, 4).delay(10);
}
