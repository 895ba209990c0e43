use taskwright::task;

pub struct Failed;

#[task]
async fn fail() -> Result<(), Failed> {
    Err(Failed)
}

fn main() {}
