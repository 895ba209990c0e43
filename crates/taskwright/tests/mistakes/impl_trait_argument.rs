use taskwright::task;

#[task]
async fn show(value: impl ToString + Send) -> String {
    value.to_string()
}

fn main() {}
