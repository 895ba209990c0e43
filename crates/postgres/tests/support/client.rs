//! The application's own connection.

use std::ops::{Deref, DerefMut};

use taskwright_testbed::Schema;
use tokio::task::JoinHandle;
use tokio_postgres::NoTls;

/// A connection that can be lost.
pub struct Application {
    client: tokio_postgres::Client,
    driver: JoinHandle<()>,
    pub backend: i32,
}

impl Application {
    /// Connected to the database of a schema, which is its `search_path`.
    pub async fn of(schema: &Schema) -> Application {
        let url = schema.url_with_search_path();
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        let driver = tokio::spawn(async move { drop(connection.await) });
        let row = client.query_one("select pg_backend_pid()", &[]).await.unwrap();
        Application { client, driver, backend: row.get(0) }
    }

    /// Ends as when the process dies: without a word.
    pub fn dies(self) {
        self.driver.abort();
    }
}

impl Deref for Application {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl DerefMut for Application {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.client
    }
}
