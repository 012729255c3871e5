//! What an expression of a help can say: its literals and formats, through constants, variables, branches and functions.

use crate::sources::{Function, Sources};
use std::collections::HashMap;
use syn::{Expr, Pat, visit::Visit};

/// A text as the source has it: what stands between the places that a format fills in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Template(Vec<String>);

impl Template {
    fn literal(text: &str) -> Self {
        Self(vec![text.to_owned()])
    }

    fn format(text: &str) -> Self {
        let (mut pieces, mut piece) = (Vec::new(), String::new());
        let mut rest = text.chars().peekable();
        while let Some(character) = rest.next() {
            match character {
                '{' | '}' if rest.peek() == Some(&character) => {
                    piece.push(character);
                    rest.next();
                }
                '{' => {
                    rest.by_ref().find(|character| *character == '}');
                    pieces.push(std::mem::take(&mut piece));
                }
                other => piece.push(other),
            }
        }
        pieces.push(piece);
        Self(pieces)
    }

    /// Is the text one that this makes?
    pub(crate) fn makes(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else { return false };
        let Some(mut text) = text.strip_prefix(first.as_str()) else { return false };
        let Some((last, middle)) = rest.split_last() else { return text.is_empty() };
        for piece in middle {
            match text.split_once(piece.as_str()) {
                Some((_, after)) => text = after,
                None => return false,
            }
        }
        text.ends_with(last.as_str())
    }
}

impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("{}"))
    }
}

/// What a name stands for in a function.
struct Binding {
    value: Expr,
    /// It is a part of the value.
    in_tuple: bool,
}

/// The names of a function and what was bound to them.
#[derive(Default)]
pub(crate) struct Scope {
    bindings: HashMap<String, Vec<Binding>>,
    /// Names of the functions that it calls.
    calls: Vec<String>,
}

impl Scope {
    pub(crate) fn of(function: &Function) -> Self {
        let mut scope = Self::default();
        scope.visit_block(&function.block);
        scope
    }

    fn bind(&mut self, pattern: &Pat, value: &Expr, in_tuple: bool) {
        match pattern {
            Pat::Ident(name) => {
                self.bindings.entry(name.ident.to_string()).or_default().push(Binding { value: value.clone(), in_tuple });
            }
            Pat::Tuple(tuple) => tuple.elems.iter().for_each(|pattern| self.bind(pattern, value, true)),
            Pat::TupleStruct(inner) => inner.elems.iter().for_each(|pattern| self.bind(pattern, value, in_tuple)),
            Pat::Reference(inner) => self.bind(&inner.pat, value, in_tuple),
            Pat::Type(inner) => self.bind(&inner.pat, value, in_tuple),
            _ => {}
        }
    }
}

impl<'ast> Visit<'ast> for Scope {
    fn visit_local(&mut self, local: &'ast syn::Local) {
        if let Some(init) = &local.init {
            self.bind(&local.pat, &init.expr, false);
        }
        syn::visit::visit_local(self, local);
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        match expr {
            Expr::Let(found) => self.bind(&found.pat, &found.expr, false),
            Expr::Match(found) => found.arms.iter().for_each(|arm| self.bind(&arm.pat, &found.expr, false)),
            Expr::MethodCall(call) => {
                self.calls.push(call.method.to_string());
                for argument in &call.args {
                    if let Expr::Closure(closure) = argument {
                        closure.inputs.iter().for_each(|pattern| self.bind(pattern, &call.receiver, false));
                    }
                }
            }
            Expr::Call(call) => {
                if let Expr::Path(path) = &*call.func {
                    self.calls.extend(path.path.segments.last().map(|segment| segment.ident.to_string()));
                }
            }
            _ => {}
        }
        syn::visit::visit_expr(self, expr);
    }

    fn visit_item_const(&mut self, constant: &'ast syn::ItemConst) {
        self.bindings
            .entry(constant.ident.to_string())
            .or_default()
            .push(Binding { value: (*constant.expr).clone(), in_tuple: false });
    }

    fn visit_item_fn(&mut self, _: &'ast syn::ItemFn) {}
}

/// What was read of an expression.
#[derive(Default)]
pub(crate) struct Reading {
    pub(crate) texts: Vec<Template>,
    /// The parameters that it comes from.
    pub(crate) parameters: Vec<String>,
    pub(crate) unreadable: Vec<String>,
}

impl Reading {
    fn text(template: Template) -> Self {
        Self { texts: vec![template], ..Self::default() }
    }

    fn unreadable(what: impl Into<String>) -> Self {
        Self { unreadable: vec![what.into()], ..Self::default() }
    }

    fn and(mut self, other: Self) -> Self {
        self.texts.extend(other.texts);
        self.parameters.extend(other.parameters);
        self.unreadable.extend(other.unreadable);
        self
    }

    fn is_readable(&self) -> bool {
        self.unreadable.is_empty()
    }
}

/// Methods that make another form of the same text, or take one out of several.
const SAME: [&str; 18] = [
    "to_owned",
    "to_string",
    "into",
    "into_owned",
    "clone",
    "cloned",
    "copied",
    "as_ref",
    "as_str",
    "as_deref",
    "iter",
    "into_iter",
    "find",
    "filter",
    "next",
    "get",
    "first",
    "borrow",
];
/// Methods that put another text in its place, where there is one.
const INSTEAD: [&str; 6] = ["map", "map_or", "map_or_else", "and_then", "then", "then_some"];
/// Methods that put another text in its place, where there is none.
const OTHERWISE: [&str; 3] = ["or_else", "unwrap_or", "unwrap_or_else"];

pub(crate) fn read(expr: &Expr, function: &Function, scope: &Scope, sources: &Sources) -> Reading {
    Reader { function, scope, sources, depth: 0 }.read(expr)
}

#[derive(Clone, Copy)]
struct Reader<'r> {
    function: &'r Function,
    scope: &'r Scope,
    sources: &'r Sources,
    depth: usize,
}

impl Reader<'_> {
    fn read(self, expr: &Expr) -> Reading {
        if self.depth > 40 {
            return Reading::unreadable("it goes in circles");
        }
        let inner = Self { depth: self.depth + 1, ..self };
        let all = |exprs: &mut dyn Iterator<Item = &Expr>| exprs.fold(Reading::default(), |all, expr| all.and(inner.read(expr)));
        match expr {
            Expr::Lit(lit) => match &lit.lit {
                syn::Lit::Str(text) => Reading::text(Template::literal(&text.value())),
                _ => Reading::unreadable("a literal that is no text"),
            },
            Expr::Reference(outer) => inner.read(&outer.expr),
            Expr::Paren(outer) => inner.read(&outer.expr),
            Expr::Group(outer) => inner.read(&outer.expr),
            Expr::Unary(outer) => inner.read(&outer.expr),
            Expr::Try(outer) => inner.read(&outer.expr),
            Expr::Macro(call) if call.mac.path.is_ident("format") => match first_text(&call.mac) {
                Some(text) => Reading::text(Template::format(&text)),
                None => Reading::unreadable("a `format!` without its text"),
            },
            Expr::Field(field) if matches!(&field.member, syn::Member::Named(name) if name == "help") => Reading::default(),
            // What leaves the function gives no help.
            Expr::Return(_) | Expr::Continue(_) | Expr::Break(_) => Reading::default(),
            Expr::If(branches) => match &branches.else_branch {
                Some((_, otherwise)) => inner.block(&branches.then_branch).and(inner.read(otherwise)),
                None => Reading::unreadable("an `if` without `else`"),
            },
            Expr::Match(found) => all(&mut found.arms.iter().map(|arm| &*arm.body)),
            Expr::Block(block) => inner.block(&block.block),
            Expr::Closure(closure) => inner.read(&closure.body),
            Expr::Array(array) => all(&mut array.elems.iter()),
            Expr::Tuple(tuple) => all(&mut tuple.elems.last().into_iter()),
            Expr::Path(path) => inner.name(&path.path),
            Expr::Call(call) => inner.call(call),
            Expr::MethodCall(call) => inner.method(call),
            _ => Reading::unreadable("an expression of another kind"),
        }
    }

    fn block(self, block: &syn::Block) -> Reading {
        match block.stmts.last() {
            Some(syn::Stmt::Expr(last, _)) => self.read(last),
            Some(syn::Stmt::Macro(last)) if last.mac.path.is_ident("format") => first_text(&last.mac)
                .map_or_else(|| Reading::unreadable("a `format!`"), |text| Reading::text(Template::format(&text))),
            _ => Reading::unreadable("a block without a value"),
        }
    }

    fn name(self, path: &syn::Path) -> Reading {
        let Some(name) = path.segments.last().map(|segment| segment.ident.to_string()) else { return Reading::default() };
        if name == "None" {
            return Reading::default();
        }
        // `str::to_owned` as an argument: the same text.
        if SAME.contains(&name.as_str()) && path.segments.len() > 1 {
            return Reading::default();
        }
        if let Some(bindings) = self.scope.bindings.get(&name) {
            let fails = |call: &String| self.sources.functions.iter().any(|known| known.fails_with_help && known.name == *call);
            let from_error = bindings.iter().any(|binding| binding.in_tuple) && self.scope.calls.iter().any(fails);
            if from_error {
                // Read where the pair is made.
                return Reading::default();
            }
            return bindings.iter().fold(Reading::default(), |all, binding| all.and(self.read(&binding.value)));
        }
        if self.function.parameters.contains(&name) {
            return Reading { parameters: vec![name], ..Reading::default() };
        }
        match self.sources.constants.get(&(self.function.file.clone(), name.clone())) {
            Some(value) => self.read(value),
            None => Reading::unreadable(format!("`{name}`, which is neither bound nor a constant of the file")),
        }
    }

    fn call(self, call: &syn::ExprCall) -> Reading {
        let Expr::Path(path) = &*call.func else { return Reading::unreadable("a call of what has no name") };
        let name = path.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        match name.as_str() {
            "Some" | "Ok" | "Borrowed" | "Owned" | "from" => {
                call.args.iter().fold(Reading::default(), |all, argument| all.and(self.read(argument)))
            }
            _ if self.scope.bindings.contains_key(&name) => self.name(&path.path),
            _ => self.of_function(&name),
        }
    }

    fn method(self, call: &syn::ExprMethodCall) -> Reading {
        let name = call.method.to_string();
        let receiver = || self.read(&call.receiver);
        let arguments = || call.args.iter().fold(Reading::default(), |all, argument| all.and(self.read(argument)));
        if SAME.contains(&name.as_str()) {
            receiver()
        } else if INSTEAD.contains(&name.as_str()) {
            // What it was is gone, and may have been no text; where it was one, it is in the closure's argument.
            let before = receiver();
            if before.is_readable() { before.and(arguments()) } else { arguments() }
        } else if OTHERWISE.contains(&name.as_str()) {
            receiver().and(arguments())
        } else {
            self.of_function(&name)
        }
    }

    /// What a function of the sources gives; its own parameters are no texts that could be read here.
    fn of_function(self, name: &str) -> Reading {
        let mut named = self.sources.functions.iter().filter(|function| function.name == name).peekable();
        if named.peek().is_none() {
            return Reading::unreadable(format!("a call of `{name}`, which is not among the sources"));
        }
        named.fold(Reading::default(), |all, function| {
            let scope = Scope::of(function);
            let reading = Reader { function, scope: &scope, ..self }.block(&function.block);
            let of_parameters = reading.parameters.iter().map(|name| format!("the parameter `{name}` of `{}`", function.name));
            let unreadable = reading.unreadable.iter().cloned().chain(of_parameters).collect();
            all.and(Reading { parameters: Vec::new(), unreadable, ..reading })
        })
    }
}

fn first_text(call: &syn::Macro) -> Option<String> {
    let parser = |input: syn::parse::ParseStream<'_>| {
        let text: syn::LitStr = input.parse()?;
        input.parse::<proc_macro2::TokenStream>()?;
        Ok(text.value())
    };
    call.parse_body_with(parser).ok()
}
