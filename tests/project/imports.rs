//! Which file of the crate depends on which, by what it imports.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// A file, as far as imports go.
pub(super) struct File {
    imports: Vec<Import>,
    /// The names and paths outside of the imports.
    mentions: BTreeSet<Vec<String>>,
}

/// One name of a `use`.
struct Import {
    path: Vec<String>,
    name: String,
    public: bool,
}

/// The files by the paths of their modules; that of the root is empty.
pub(super) type Files = BTreeMap<String, File>;

/// What each file depends on.
pub(super) type Edges = BTreeMap<String, BTreeSet<String>>;

impl File {
    pub(super) fn parse(source: &str) -> Self {
        let (mut imports, mut mentions) = (Vec::new(), BTreeSet::new());
        let words = words(source);
        let mut rest = words.iter().map(String::as_str).peekable();
        let mut before = "";
        while let Some(word) = rest.next() {
            match word {
                "use" if rest.peek() != Some(&"<") => {
                    let public = matches!(before, "pub" | ")");
                    let tree = rest.by_ref().take_while(|word| *word != ";");
                    for (path, name) in named_by(tree) {
                        imports.push(Import { path, name, public });
                    }
                }
                // The ends of `pub(crate)`, a receiver.
                "crate" | "super" | "self" => {}
                // A declaration is no import.
                _ if before == "mod" => {}
                word => drop(mentions.insert(names(word))),
            }
            before = word;
        }
        Self { imports, mentions }
    }

    /// All that it names, imported or not.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let imports = self.imports.iter().map(|import| &import.path);
        imports.chain(&self.mentions).flatten().map(String::as_str)
    }
}

/// The paths and the signs of a source, without comments and strings.
fn words(source: &str) -> Vec<String> {
    let comment = |line: &str| format!(" {line}").split(" //").next().unwrap().to_owned();
    let code: Vec<_> = source.lines().map(comment).collect();
    let code = code.join("\n").replace("\\\"", "");
    assert!(
        code.matches('"').count() % 2 == 0,
        "a string is not seen: {code}"
    );
    let mut words = String::new();
    for c in code.split('"').step_by(2).flat_map(str::chars) {
        match c {
            ':' | '_' => words.push(c),
            c if c.is_alphanumeric() => words.push(c),
            c => words.extend([' ', c, ' ']),
        }
    }
    words.split_whitespace().map(str::to_owned).collect()
}

/// The names of a path; none where it goes on from a type.
fn names(path: &str) -> Vec<String> {
    let names = path.split("::").map(|name| name.trim_end_matches(':'));
    let names = names.take_while(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// What a `use` names: each path, and its name from now on. Where that is a new one, it
/// stands at the end of the path too, where it does no harm.
fn named_by<'a>(tree: impl Iterator<Item = &'a str>) -> Vec<(Vec<String>, String)> {
    let (mut stems, mut path, mut named) = (Vec::new(), Vec::new(), Vec::new());
    let mut name = None;
    for word in tree.chain([","]) {
        match word {
            "{" => {
                stems.push(path.clone());
                name = None;
            }
            "," | "}" => {
                named.extend(name.take().map(|name| (path, name)));
                if word == "}" {
                    stems.pop();
                }
                path = stems.last().cloned().unwrap_or_default();
            }
            "as" => {}
            word => {
                path.extend(names(word));
                name = path.iter().rfind(|name| *name != "self").cloned();
            }
        }
    }
    named
}

/// The files under `folder`, whose own module is `module`.
pub(super) fn read(folder: &Path, module: &str) -> Files {
    let mut files = Files::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let inner = match path.file_stem().unwrap().to_str().unwrap() {
            "lib" | "mod" => module.to_owned(),
            name => child(module, name),
        };
        if path.is_dir() {
            files.extend(read(&path, &inner));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.insert(inner, File::parse(&fs::read_to_string(&path).unwrap()));
        }
    }
    files
}

fn child(module: &str, name: &str) -> String {
    [module, name].join("::").trim_start_matches(':').to_owned()
}

/// The file that defines what `path` names in `module`, whoever hands it on; of what is
/// not the crate's, the last to hand it on. None if nobody does.
fn definer(files: &Files, module: &str, path: &[String]) -> Option<String> {
    let mut at = module.to_owned();
    for (i, name) in path.iter().enumerate() {
        let child = child(&at, name);
        match name.as_str() {
            "crate" => at = String::new(),
            "self" => {}
            "super" => at.truncate(at.rfind("::").unwrap_or(0)),
            _ if path.len() > 1 && files.contains_key(&child) => at = child,
            name => {
                let mut imports = files[&at].imports.iter();
                let import = imports.find(|import| import.name == name && import.path[0] != name);
                let handed_on = import.and_then(|import| {
                    definer(files, &at, &[&import.path, &path[i + 1..]].concat())
                });
                return handed_on.or((i > 0).then_some(at));
            }
        }
    }
    Some(at)
}

/// A file depends on the files that define what it imports or mentions.
///
/// What it only hands on by `pub use`, or declares by `mod`, is neither: so a folder's
/// `mod.rs` forms no circle with its parts, and whoever imports from it depends on the
/// part that defines the name. What it hands on *and* mentions counts.
///
/// Not seen are methods that are defined in another file than their type.
pub(super) fn edges(files: &Files) -> Edges {
    let mut edges = Edges::new();
    for (module, file) in files {
        let imports = file.imports.iter().filter(|import| !import.public);
        let paths = imports.map(|import| &import.path).chain(&file.mentions);
        let mut used = BTreeSet::new();
        for path in paths {
            let from = definer(files, module, path);
            let glob = from.is_some() && path.last().is_some_and(|name| name == "*");
            assert!(!glob, "`{module}` hides what it imports: {path:?}");
            used.extend(from);
        }
        used.remove(module);
        edges.insert(module.clone(), used);
    }
    edges
}

/// The files that lie on a circle, or between two.
pub(super) fn circles(mut edges: Edges) -> Vec<String> {
    loop {
        let all = edges.clone();
        edges.retain(|file, used| {
            used.iter().any(|used| all.contains_key(used))
                && all.values().any(|used| used.contains(file))
        });
        if edges.len() == all.len() {
            return edges.into_keys().collect();
        }
    }
}
