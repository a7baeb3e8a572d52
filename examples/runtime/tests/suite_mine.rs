use std::sync::LazyLock;

use mine::Mine;
use outlast_conformance::heap;
use outlast_conformance::net::{Loopback, Over};
use tokio::runtime::Runtime;

// Some cases look at the memory of the process, and fail without an allocator that counts.
#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

// It runs the tasks of all cases, and takes them from the threads of the tests.
static TOKIO: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a tokio runtime"));

outlast_conformance::suite! {
    Loopback::new(Over::new("mine over sockets", Mine(TOKIO.handle().clone())).counting(heap::held))
}
