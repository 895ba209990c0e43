use taskwright::task;

#[task]
async fn total(prices: Vec<&'static [i64]>) -> i64 {
    prices.iter().flat_map(|prices| prices.iter()).sum()
}

fn main() {}
