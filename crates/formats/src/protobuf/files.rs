//! Message descriptions: `.proto` files and descriptor sets compiled, and messages found by their Java class or name.

use crate::base64;
use crate::surroundings::SchemaFile;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use protox::prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor};
use std::collections::BTreeMap;
use std::path::Path;

/// Texts by the path that others import them by.
struct InMemory(BTreeMap<String, String>);

/// Braces and brackets within each other that a text may have.
const TEXT_DEPTH_MAX: usize = 100;

fn depth_of(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' | b'<' | b'(' => depth += 1,
            b'}' | b']' | b'>' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

impl FileResolver for InMemory {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        path.to_str().filter(|path| self.0.contains_key(*path)).map(str::to_string)
    }

    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let Some(text) = self.0.get(name) else { return Err(protox::Error::file_not_found(name)) };
        // Some of Confluent's serializers register the descriptor, in base64, instead of the text.
        let mut bytes = Vec::new();
        if base64::decode(text.trim().as_bytes(), &mut bytes)
            && let Ok(file) = File::decode_file_descriptor_proto(bytes.as_slice())
        {
            let mut descriptor = file.file_descriptor_proto().clone();
            descriptor.name = Some(name.to_string());
            return Ok(File::from_file_descriptor_proto(descriptor));
        }
        // The parser goes down with the text.
        if depth_of(text) > TEXT_DEPTH_MAX {
            return Err(protox::Error::new(format!("'{name}': its messages lie too deep within each other")));
        }
        File::from_source(name, text)
    }
}

/// Compiles the files whose path is in `roots`; what they import is looked up among the others, and Google's own
/// files are always there.
pub(super) fn compile(texts: BTreeMap<String, String>, roots: &[&str]) -> Result<DescriptorPool, String> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(InMemory(texts));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    for root in roots {
        compiler.open_file(root).map_err(|error| format!("'{root}': {}", reason_of(&error)))?;
    }
    // Through its bytes: the compiler's own pool does not know options like `packed`.
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice())
        .map_err(|error| error.to_string())
}

/// What a compiler says, in one line.
fn reason_of(error: &protox::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default().to_string();
    match error.file() {
        Some(file) if !line.contains(file) => format!("{file}: {line}"),
        _ => line,
    }
}

/// The messages that files describe, whichever kind they are of.
pub(super) fn pool_of(files: &[SchemaFile]) -> Result<DescriptorPool, String> {
    if let [file] = files
        && !file.path.ends_with(".proto")
    {
        return DescriptorPool::decode(file.bytes.as_slice()).map_err(|error| {
            format!(
                "'{}' is neither a .proto file nor a set of descriptors as protoc writes it: {error}",
                file.path
            )
        });
    }
    let mut texts = BTreeMap::new();
    for file in files {
        let text =
            std::str::from_utf8(&file.bytes).map_err(|_| format!("'{}' is not valid UTF-8", file.path))?;
        texts.insert(file.path.clone(), text.to_string());
    }
    let roots: Vec<&str> = files.iter().filter(|file| file.is_root).map(|file| file.path.as_str()).collect();
    compile(texts, &roots)
}

/// The message that Java knows under a class name, or that has this name itself.
pub(super) fn find(pool: &DescriptorPool, wanted: &str) -> Result<MessageDescriptor, String> {
    if let Some(found) = pool.get_message_by_name(wanted) {
        return Ok(found);
    }
    let dotted = |name: &str| name.replace('$', ".");
    let mut names = Vec::new();
    for message in pool.all_messages().filter(|message| !message.is_map_entry()) {
        let class = java_class(&message);
        if dotted(&class) == dotted(wanted) {
            return Ok(message);
        }
        if !class.starts_with("com.google.protobuf.") {
            names.push(class);
        }
    }
    let hint = match base::nearest(wanted, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean '{near}'?"),
        None => {
            names.sort();
            names.truncate(10);
            format!("there are: {}", names.join(", "))
        }
    };
    Err(format!("no message has the class name '{wanted}'; {hint}"))
}

/// The name of the class that `protoc` makes of a message for Java.
pub(super) fn java_class(message: &MessageDescriptor) -> String {
    let file = message.parent_file();
    let proto = file.file_descriptor_proto();
    let options = proto.options.as_ref();
    let package = options
        .and_then(|options| options.java_package.clone())
        .unwrap_or_else(|| file.package_name().to_string());
    let mut path = vec![message.name().to_string()];
    let mut parent = message.parent_message();
    while let Some(message) = parent {
        path.push(message.name().to_string());
        parent = message.parent_message();
    }
    if !options.is_some_and(|options| options.java_multiple_files()) {
        path.push(match options.and_then(|options| options.java_outer_classname.clone()) {
            Some(name) => name,
            None => outer_class(&file),
        });
    }
    path.reverse();
    let path = path.join("$");
    if package.is_empty() { path } else { format!("{package}.{path}") }
}

/// The class around the messages of a file that names none: made of the file's name.
fn outer_class(file: &FileDescriptor) -> String {
    let stem = file.name().rsplit('/').next().unwrap_or_default();
    let stem = stem.strip_suffix(".proto").unwrap_or(stem);
    let mut name = String::new();
    let mut is_start = true;
    for letter in stem.chars() {
        if !letter.is_ascii_alphanumeric() {
            is_start = true;
            continue;
        }
        name.push(if is_start { letter.to_ascii_uppercase() } else { letter });
        is_start = letter.is_ascii_digit();
    }
    let pool = file.parent_pool();
    let is_taken =
        pool.all_messages().any(|message| message.parent_file() == *file && message.name() == name)
            || pool.all_enums().any(|found| found.parent_file() == *file && found.name() == name)
            || file.services().any(|service| service.name() == name);
    if is_taken { format!("{name}OuterClass") } else { name }
}
