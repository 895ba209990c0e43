use taskwright::task;

#[allow(non_snake_case)]
#[task]
async fn addNumbers(a: i64, b: i64) -> i64 {
    a + b
}

fn main() {}
