use taskwright::task;

pub struct Point {
    pub x: i64,
}

#[task]
async fn right(point: Point) -> i64 {
    point.x + 1
}

fn main() {}
