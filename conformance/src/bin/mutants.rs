use outlast_conformance::explore::Search;
fn main() {
    let names: Vec<String> = std::env::args().skip(1).collect();
    for search in Search::all() {
        if names.is_empty() || names.iter().any(|n| n == search.name) {
            println!("{}: {}", search.name, search.run());
        }
    }
}
