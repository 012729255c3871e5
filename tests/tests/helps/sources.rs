//! Every help that the sources can give, read out of them: where a text reaches a finding's `help`, and what stands there.
//!
//! Begins at what is written into a member called `help`, and goes back through the parameters of functions to the texts. What
//! it cannot read it says, so that no text is passed over.

use crate::texts::{Reading, Scope, Template, read};
use chaperone_tests::root;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
};
use syn::{Expr, ImplItemFn, Item, ItemFn, Member, Pat, Signature, visit::Visit};

/// What `check` shows errors and warnings of.
const CHECKED: [&str; 3] = ["policy/src", "authoring/src/source", "policy-host/src/files.rs"];

/// A function of the sources.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) file: String,
    pub(crate) name: String,
    /// The folder or the module whose files can call it.
    reach: String,
    pub(crate) parameters: Vec<String>,
    /// Gives a message and its help as an error: `Result<_, (text, text)>`.
    pub(crate) fails_with_help: bool,
    pub(crate) block: syn::Block,
}

/// All of them, and all constants by file and name.
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) functions: Vec<Function>,
    pub(crate) constants: HashMap<(String, String), Expr>,
}

/// A parameter of a function through which a help comes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    name: String,
    arguments: usize,
    place: usize,
    reach: String,
}

/// The help texts, each with a place where it stands; and what could not be read.
pub(crate) struct Helps {
    pub(crate) texts: BTreeMap<Template, String>,
    pub(crate) unreadable: BTreeSet<String>,
}

pub(crate) fn helps() -> Helps {
    let mut sources = Sources::default();
    for path in CHECKED {
        collect(&root().join(path), &mut sources);
    }
    let mut ways: BTreeSet<Way> = BTreeSet::new();
    loop {
        let mut found = Finder { sources: &sources, ways: &ways, function: None, new: BTreeSet::new(), helps: Helps::none() };
        for function in &sources.functions {
            found.of(function);
        }
        let Finder { new, helps, .. } = found;
        if new.is_subset(&ways) {
            return helps;
        }
        ways.extend(new);
    }
}

impl Helps {
    const fn none() -> Self {
        Self { texts: BTreeMap::new(), unreadable: BTreeSet::new() }
    }
}

fn collect(path: &Path, sources: &mut Sources) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), sources);
        }
    } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
        let text = fs::read_to_string(path).unwrap();
        let file = path.strip_prefix(root()).unwrap().display().to_string();
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        Collector { file, inside: 0, sources }.visit_file(&parsed);
    }
}

struct Collector<'s> {
    file: String,
    /// In so many functions: their constants are theirs.
    inside: usize,
    sources: &'s mut Sources,
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    let says_test = |list: &syn::MetaList| {
        let text = list.tokens.to_string();
        text == "test" || text.contains("hold-for-tests")
    };
    attributes.iter().any(|attribute| attribute.path().is_ident("cfg") && attribute.meta.require_list().is_ok_and(says_test))
}

impl Collector<'_> {
    fn function(&mut self, visibility: &syn::Visibility, signature: &Signature, block: &syn::Block) {
        let reach = match visibility {
            syn::Visibility::Public(_) => "",
            syn::Visibility::Restricted(_) => self.file.split_inclusive("src/").next().unwrap(),
            // Its own module, and those within it.
            syn::Visibility::Inherited => self.file.trim_end_matches("mod.rs").trim_end_matches(".rs"),
        };
        let parameters = signature.inputs.iter().filter_map(|input| match input {
            syn::FnArg::Typed(typed) => Some(match &*typed.pat {
                Pat::Ident(name) => name.ident.to_string(),
                _ => String::new(),
            }),
            _ => None,
        });
        let function = Function {
            file: self.file.clone(),
            name: signature.ident.to_string(),
            reach: reach.to_owned(),
            parameters: parameters.collect(),
            fails_with_help: matches!(&signature.output, syn::ReturnType::Type(_, kind) if has_error_pair(kind)),
            block: block.clone(),
        };
        self.sources.functions.push(function);
    }

    fn constant(&mut self, name: &syn::Ident, value: &Expr) {
        if self.inside == 0 {
            let known = self.sources.constants.insert((self.file.clone(), name.to_string()), value.clone());
            assert!(known.is_none() || name == "ALL", "{}: two constants called {name}", self.file);
        }
    }
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Fn(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !is_for_tests(attributes) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.function(&item.vis, &item.sig, &item.block);
        self.inside += 1;
        syn::visit::visit_item_fn(self, item);
        self.inside -= 1;
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.function(&item.vis, &item.sig, &item.block);
        self.inside += 1;
        syn::visit::visit_impl_item_fn(self, item);
        self.inside -= 1;
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.constant(&item.ident, &item.expr);
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.constant(&item.ident, &item.expr);
    }
}

/// Is there a `Result<_, (text, text)>` in it?
fn has_error_pair(kind: &syn::Type) -> bool {
    let syn::Type::Path(path) = kind else { return false };
    let Some(last) = path.path.segments.last() else { return false };
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return false };
    let types: Vec<&syn::Type> = arguments
        .args
        .iter()
        .filter_map(|argument| match argument {
            syn::GenericArgument::Type(kind) => Some(kind),
            _ => None,
        })
        .collect();
    let pair =
        |kind: &syn::Type| matches!(kind, syn::Type::Tuple(pair) if pair.elems.len() == 2 && pair.elems.iter().all(is_text));
    (last.ident == "Result" && types.get(1).is_some_and(|kind| pair(kind))) || types.iter().any(|kind| has_error_pair(kind))
}

/// `String`, or a reference to a `str`.
fn is_text(kind: &syn::Type) -> bool {
    match kind {
        syn::Type::Reference(reference) => is_text(&reference.elem),
        syn::Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "String" || last.ident == "str"),
        _ => false,
    }
}

/// Goes through the functions, and reads what reaches a `help`.
struct Finder<'s> {
    sources: &'s Sources,
    ways: &'s BTreeSet<Way>,
    function: Option<(&'s Function, Scope)>,
    new: BTreeSet<Way>,
    helps: Helps,
}

impl<'s> Finder<'s> {
    fn of(&mut self, function: &'s Function) {
        self.function = Some((function, Scope::of(function)));
        self.visit_block(&function.block);
    }

    fn help(&mut self, value: &Expr) {
        let Some((function, scope)) = &self.function else { return };
        let Reading { texts, parameters, unreadable } = read(value, function, scope, self.sources);
        let place = format!("{}, {}()", function.file, function.name);
        for text in texts {
            self.helps.texts.entry(text).or_insert_with(|| place.clone());
        }
        for parameter in parameters {
            let index = function.parameters.iter().position(|name| *name == parameter).unwrap();
            let (name, reach) = (function.name.clone(), function.reach.clone());
            self.new.insert(Way { name, arguments: function.parameters.len(), place: index, reach });
        }
        self.helps.unreadable.extend(unreadable.into_iter().map(|what| format!("{place}: {what}")));
    }

    fn call<'e>(&mut self, name: &str, arguments: impl Iterator<Item = &'e Expr> + Clone) {
        let count = arguments.clone().count();
        let Some((function, _)) = &self.function else { return };
        let is_near = |reach: &str| match function.file.strip_prefix(reach) {
            Some(rest) => reach.is_empty() || reach.ends_with('/') || rest == ".rs" || rest.starts_with('/'),
            None => false,
        };
        let ways = self.ways.iter().filter(|way| way.name == name && way.arguments == count && is_near(&way.reach));
        let places: BTreeSet<usize> = ways.map(|way| way.place).collect();
        for (_, argument) in arguments.enumerate().filter(|(place, _)| places.contains(place)) {
            self.help(argument);
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_expr(&mut self, expr: &'ast Expr) {
        let is_help = |member: &Member| matches!(member, Member::Named(name) if name == "help");
        match expr {
            Expr::Struct(made) => {
                made.fields.iter().filter(|field| is_help(&field.member)).for_each(|field| self.help(&field.expr))
            }
            Expr::Assign(assign) => {
                if matches!(&*assign.left, Expr::Field(field) if is_help(&field.member)) {
                    self.help(&assign.right);
                }
            }
            Expr::MethodCall(call) => self.call(&call.method.to_string(), call.args.iter()),
            Expr::Call(call) => {
                if let Expr::Path(path) = &*call.func {
                    let name = path.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
                    self.call(&name, call.args.iter());
                    let in_error = self.function.as_ref().is_some_and(|(function, _)| function.fails_with_help) && name == "Err";
                    if let Some(Expr::Tuple(pair)) = call.args.first().filter(|_| in_error) {
                        pair.elems.last().into_iter().for_each(|help| self.help(help));
                    }
                }
            }
            Expr::Closure(closure) => {
                // `map_err(|_| (message, help))`
                let fails = self.function.as_ref().is_some_and(|(function, _)| function.fails_with_help);
                if let Expr::Tuple(pair) = &*closure.body
                    && fails
                    && pair.elems.len() == 2
                    && pair
                        .elems
                        .last()
                        .is_some_and(|last| !matches!(last, Expr::Lit(lit) if !matches!(lit.lit, syn::Lit::Str(_))))
                {
                    pair.elems.last().into_iter().for_each(|help| self.help(help));
                }
            }
            _ => {}
        }
        syn::visit::visit_expr(self, expr);
    }

    // Functions within functions are gone through by themselves.
    fn visit_item_fn(&mut self, _: &'ast ItemFn) {}
}
