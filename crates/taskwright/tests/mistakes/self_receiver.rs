use taskwright::task;

struct Mailer;

impl Mailer {
    #[task]
    async fn send(&self, to: String) {
        drop(to);
    }
}

fn main() {}
