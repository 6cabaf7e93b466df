//! A file's descriptor as `.proto` text.
//!
//! Options that extensions define are not in the descriptor that is read here, and so not in the text.

use protox::prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, MethodDescriptorProto,
    ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
    file_options::OptimizeMode,
};
use std::fmt::Write;

pub(super) fn text(file: &FileDescriptorProto) -> String {
    let syntax = file.syntax.as_deref().unwrap_or("proto2");
    let mut printer = Printer { out: String::new(), is_proto3: syntax == "proto3" };
    printer.file(file, syntax);
    printer.out
}

struct Printer {
    out: String,
    is_proto3: bool,
}

fn quoted(text: &str) -> String {
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\r', "\\r")
    )
}

impl Printer {
    fn line(&mut self, depth: usize, text: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.out, "{:width$}{text}", "", width = depth * 2);
    }

    fn file(&mut self, file: &FileDescriptorProto, syntax: &str) {
        self.line(0, &format!("syntax = {};", quoted(syntax)));
        if let Some(package) = file.package.as_ref().filter(|package| !package.is_empty()) {
            self.line(0, &format!("package {package};"));
        }
        if !file.dependency.is_empty() {
            self.out.push('\n');
        }
        for (place, path) in file.dependency.iter().enumerate() {
            let place = i32::try_from(place).unwrap_or(i32::MAX);
            let word = match () {
                () if file.public_dependency.contains(&place) => "public ",
                () if file.weak_dependency.contains(&place) => "weak ",
                () => "",
            };
            self.line(0, &format!("import {word}{};", quoted(path)));
        }
        self.file_options(file);
        for message in &file.message_type {
            self.out.push('\n');
            self.message(message, 0);
        }
        for found in &file.enum_type {
            self.out.push('\n');
            self.enumeration(found, 0);
        }
        self.extensions(&file.extension, 0);
        for service in &file.service {
            self.out.push('\n');
            self.service(service);
        }
    }

    fn file_options(&mut self, file: &FileDescriptorProto) {
        let Some(options) = &file.options else { return };
        let text = |value: &Option<String>| value.as_deref().map(quoted);
        let truth = |value: Option<bool>| value.map(|value| value.to_string());
        let mode = options.optimize_for.and_then(|mode| OptimizeMode::try_from(mode).ok());
        let known = [
            ("java_package", text(&options.java_package)),
            ("java_outer_classname", text(&options.java_outer_classname)),
            ("java_multiple_files", truth(options.java_multiple_files)),
            ("java_string_check_utf8", truth(options.java_string_check_utf8)),
            ("optimize_for", mode.map(|mode| mode.as_str_name().to_string())),
            ("go_package", text(&options.go_package)),
            ("cc_generic_services", truth(options.cc_generic_services)),
            ("java_generic_services", truth(options.java_generic_services)),
            ("py_generic_services", truth(options.py_generic_services)),
            ("deprecated", truth(options.deprecated)),
            ("cc_enable_arenas", truth(options.cc_enable_arenas)),
            ("objc_class_prefix", text(&options.objc_class_prefix)),
            ("csharp_namespace", text(&options.csharp_namespace)),
            ("swift_prefix", text(&options.swift_prefix)),
            ("php_class_prefix", text(&options.php_class_prefix)),
            ("php_namespace", text(&options.php_namespace)),
            ("php_metadata_namespace", text(&options.php_metadata_namespace)),
            ("ruby_package", text(&options.ruby_package)),
        ];
        let mut is_first = true;
        for (name, value) in known {
            let Some(value) = value else { continue };
            if std::mem::take(&mut is_first) {
                self.out.push('\n');
            }
            self.line(0, &format!("option {name} = {value};"));
        }
    }

    fn message(&mut self, message: &DescriptorProto, depth: usize) {
        self.line(depth, &format!("message {} {{", message.name()));
        let options = message.options.as_ref();
        if options.is_some_and(|options| options.deprecated()) {
            self.line(depth + 1, "option deprecated = true;");
        }
        if options.is_some_and(|options| options.message_set_wire_format()) {
            self.line(depth + 1, "option message_set_wire_format = true;");
        }
        self.reserved(message, depth + 1);
        let is_in_oneof =
            |field: &FieldDescriptorProto| field.oneof_index.is_some() && !field.proto3_optional();
        for field in message.field.iter().filter(|field| !is_in_oneof(field)) {
            self.field(field, Some(message), depth + 1);
        }
        for (place, oneof) in message.oneof_decl.iter().enumerate() {
            let place = i32::try_from(place).unwrap_or(i32::MAX);
            let is_within =
                |field: &&FieldDescriptorProto| field.oneof_index == Some(place) && is_in_oneof(field);
            let fields: Vec<_> = message.field.iter().filter(is_within).collect();
            if fields.is_empty() {
                continue;
            }
            self.line(depth + 1, &format!("oneof {} {{", oneof.name()));
            for field in fields {
                self.field(field, Some(message), depth + 2);
            }
            self.line(depth + 1, "}");
        }
        for range in &message.extension_range {
            let end = match range.end() {
                end if end >= 536_870_912 => "max".to_string(),
                end => (end - 1).to_string(),
            };
            self.line(depth + 1, &format!("extensions {} to {end};", range.start()));
        }
        self.extensions(&message.extension, depth + 1);
        for nested in &message.nested_type {
            let is_map = nested.options.as_ref().is_some_and(|options| options.map_entry());
            let is_group = message.field.iter().any(|field| is_group_of(field, nested));
            if !is_map && !is_group {
                self.message(nested, depth + 1);
            }
        }
        for nested in &message.enum_type {
            self.enumeration(nested, depth + 1);
        }
        self.line(depth, "}");
    }

    fn reserved(&mut self, message: &DescriptorProto, depth: usize) {
        let range = |start: i32, end: i32| match end {
            end if end >= 536_870_912 => format!("{start} to max"),
            end if end - 1 == start => start.to_string(),
            end => format!("{start} to {}", end - 1),
        };
        let ranges: Vec<String> =
            message.reserved_range.iter().map(|found| range(found.start(), found.end())).collect();
        if !ranges.is_empty() {
            self.line(depth, &format!("reserved {};", ranges.join(", ")));
        }
        let names: Vec<String> = message.reserved_name.iter().map(|name| quoted(name)).collect();
        if !names.is_empty() {
            self.line(depth, &format!("reserved {};", names.join(", ")));
        }
    }

    fn field(&mut self, field: &FieldDescriptorProto, message: Option<&DescriptorProto>, depth: usize) {
        let entry = message.and_then(|message| {
            let short = field.type_name().rsplit('.').next()?;
            message.nested_type.iter().find(|nested| {
                nested.name() == short && nested.options.as_ref().is_some_and(|options| options.map_entry())
            })
        });
        let label = match (field.label(), entry) {
            (_, Some(_)) => "",
            (Label::Repeated, _) => "repeated ",
            (Label::Required, _) => "required ",
            (Label::Optional, _) if field.proto3_optional() => "optional ",
            (Label::Optional, _) if !self.is_proto3 && field.oneof_index.is_none() => "optional ",
            (Label::Optional, _) => "",
        };
        if field.r#type() == Type::Group
            && let Some(group) = message
                .and_then(|message| message.nested_type.iter().find(|nested| is_group_of(field, nested)))
        {
            self.line(depth, &format!("{label}group {} = {} {{", group.name(), field.number()));
            for inner in &group.field {
                self.field(inner, Some(group), depth + 1);
            }
            self.line(depth, "}");
            return;
        }
        let kind = match entry.map(|entry| entry.field.as_slice()) {
            Some([key, value]) => format!("map<{}, {}>", type_of(key), type_of(value)),
            _ => type_of(field),
        };
        let mut options = Vec::new();
        if let Some(default) = &field.default_value {
            let is_text = matches!(field.r#type(), Type::String | Type::Bytes);
            options.push(format!("default = {}", if is_text { quoted(default) } else { default.clone() }));
        }
        if let Some(name) = field.json_name.as_ref().filter(|name| **name != json_name(field.name())) {
            options.push(format!("json_name = {}", quoted(name)));
        }
        if let Some(given) = &field.options {
            let truths = [("packed", given.packed), ("deprecated", given.deprecated), ("lazy", given.lazy)];
            options.extend(truths.iter().filter_map(|(name, value)| Some(format!("{name} = {}", (*value)?))));
        }
        let options = if options.is_empty() { String::new() } else { format!(" [{}]", options.join(", ")) };
        self.line(depth, &format!("{label}{kind} {} = {}{options};", field.name(), field.number()));
    }

    fn enumeration(&mut self, found: &EnumDescriptorProto, depth: usize) {
        self.line(depth, &format!("enum {} {{", found.name()));
        if found.options.as_ref().is_some_and(|options| options.allow_alias()) {
            self.line(depth + 1, "option allow_alias = true;");
        }
        for value in &found.value {
            let is_deprecated = value.options.as_ref().is_some_and(|options| options.deprecated());
            let options = if is_deprecated { " [deprecated = true]" } else { "" };
            self.line(depth + 1, &format!("{} = {}{options};", value.name(), value.number()));
        }
        for range in &found.reserved_range {
            let text = if range.start() == range.end() {
                range.start().to_string()
            } else {
                format!("{} to {}", range.start(), range.end())
            };
            self.line(depth + 1, &format!("reserved {text};"));
        }
        for name in &found.reserved_name {
            self.line(depth + 1, &format!("reserved {};", quoted(name)));
        }
        self.line(depth, "}");
    }

    fn extensions(&mut self, extensions: &[FieldDescriptorProto], depth: usize) {
        for extension in extensions {
            self.line(depth, &format!("extend {} {{", extension.extendee()));
            self.field(extension, None, depth + 1);
            self.line(depth, "}");
        }
    }

    fn service(&mut self, service: &ServiceDescriptorProto) {
        self.line(0, &format!("service {} {{", service.name()));
        for method in &service.method {
            self.method(method);
        }
        self.line(0, "}");
    }

    fn method(&mut self, method: &MethodDescriptorProto) {
        let stream = |is_stream: bool| if is_stream { "stream " } else { "" };
        let text = format!(
            "rpc {} ({}{}) returns ({}{});",
            method.name(),
            stream(method.client_streaming()),
            method.input_type(),
            stream(method.server_streaming()),
            method.output_type()
        );
        self.line(1, &text);
    }
}

fn is_group_of(field: &FieldDescriptorProto, nested: &DescriptorProto) -> bool {
    field.r#type() == Type::Group && field.type_name().rsplit('.').next() == Some(nested.name())
}

fn type_of(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum | Type::Group => field.type_name().to_string(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_ascii_lowercase(),
    }
}

/// The name in JSON that a field has by default.
fn json_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut is_start = false;
    for letter in name.chars() {
        match letter {
            '_' => is_start = true,
            letter if std::mem::take(&mut is_start) => out.push(letter.to_ascii_uppercase()),
            letter => out.push(letter),
        }
    }
    out
}
