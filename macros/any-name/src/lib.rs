//! A program that calls spargio `engine`.

/// Adds one, in a runtime.
#[engine::main]
pub async fn plus_one(n: u32) -> u32 {
    let task = engine::spawn(async move { n + 1 });
    task.await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn main_finds_its_runtime() {
        assert_eq!(super::plus_one(1), 2);
    }

    #[engine::test]
    async fn so_does_test() {
        engine::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}
