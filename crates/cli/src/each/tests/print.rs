use super::Printed;

#[test]
fn each_place_is_new_once() {
    let mut printed = Printed::default();
    assert!(printed.add(2));
    assert!(!printed.add(2));
    assert_eq!((printed.count, printed.all_before), (1, 0));
    assert!(printed.add(0));
    assert_eq!(printed.all_before, 1);
    assert!(printed.add(1));
    assert_eq!((printed.count, printed.all_before), (3, 3));
    assert!(printed.has(1) && !printed.has(3));
}
