use taskwright::task;

pub struct Point {
    pub x: i64,
}

#[task]
async fn point() -> Point {
    Point { x: 1 }
}

fn main() {}
