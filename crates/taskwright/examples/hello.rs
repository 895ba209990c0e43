//! Hello world: `cargo run -p taskwright --example hello`

use taskwright::{Taskwright, task};

#[task]
async fn greet(name: String) -> String {
    format!("Hello {name}")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = Taskwright::connect("memory:").await?;
    let worker = app.worker().serve(greet).start()?;

    let greeting = app.enqueue(greet::job("world".into())).await?;
    println!("{}", greeting.result().await?);

    worker.stop().await?;
    app.close().await?;
    Ok(())
}
