#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rackhaven_tests::fuzz::power_state(data));
