//! What broke in real systems, over every foreign format, on plain threads.

use outlast_conformance::plain::Ground;
use outlast_std::Std;

outlast_conformance::plain_suite! { Ground::new(Std::new()) }
