#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rackhaven_tests::fuzz::backup_result(data));
