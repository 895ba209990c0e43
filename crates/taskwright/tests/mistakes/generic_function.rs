use taskwright::task;

#[task]
async fn show<T: ToString + Send>(value: T) -> String {
    value.to_string()
}

fn main() {}
