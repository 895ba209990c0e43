use std::sync::mpsc;
use std::time::Duration;

use super::Lag;

#[test]
fn a_runtime_that_is_blocked_is_late_before_it_goes_on() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (go_on, blocked) = mpsc::channel::<()>();
    let (tell, is_blocked) = mpsc::channel();
    runtime.spawn(async move {
        tell.send(()).unwrap();
        // An error means that the test is over.
        let _ = blocked.recv();
    });
    is_blocked.recv().unwrap();
    let mut lag = Lag { runtime: runtime.handle().clone(), probe: None };
    assert_eq!(lag.look(), None, "no probe was sent");
    lag.probe();
    let wanted = Duration::from_millis(5);
    while lag.look().unwrap() < wanted {
        lag.probe();
        std::thread::yield_now();
    }
    go_on.send(()).unwrap();
    let mut late = None;
    while lag.probe.is_some() {
        late = lag.look();
        std::thread::yield_now();
    }
    assert!(late.unwrap() >= wanted, "{late:?}");
    lag.probe();
    drop(runtime);
    lag.look();
    lag.probe();
    assert_eq!(lag.look(), None, "a runtime that has ended is not late");
}
