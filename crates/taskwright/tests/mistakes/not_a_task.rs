use taskwright::Taskwright;

async fn add(a: i64, b: i64) -> i64 {
    a + b
}

fn serve(app: Taskwright) {
    let _ = app.worker().serve(add);
}

fn main() {}
