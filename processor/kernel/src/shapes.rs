//! Chat messages in any shape that is known, read as parts.
//!
//! Shapes are not told apart first: a message is read by the members it has, whoever wrote it. What the members of all
//! known shapes mean stands in two tables, [`Member`] and [`Sort`]; the rest is which one counts where several are there.
//! The shapes: OpenTelemetry's parts, OpenAI chat and responses, Anthropic, Gemini, Bedrock, LangChain (serialized and
//! as dictionaries), Vercel AI, Pydantic AI's events, Haystack, LlamaIndex, Genkit, and what comes of flattened
//! attributes (OpenInference, OpenLLMetry).

use std::borrow::Cow;

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use serde::Deserialize;

use crate::json::{Json, Kind, Parse, Tape, Tapes, trim};
use crate::literal;

/// Who speaks. Columns have it as this number, and 0 where nobody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Role {
    System = 1,
    User = 2,
    Assistant = 3,
    Tool = 4,
}

impl Role {
    pub fn name(self) -> &'static [u8] {
        match self {
            Self::System => b"system",
            Self::User => b"user",
            Self::Assistant => b"assistant",
            Self::Tool => b"tool",
        }
    }

    /// The role a word stands for: a role of some provider, perhaps of an enumeration (`ChatRole.USER`), or the name of
    /// a message class (`HumanMessage`, `AIMessageChunk`).
    pub fn parse(word: &[u8]) -> Option<Self> {
        const LONGEST: usize = 32;
        let last = word.rsplit(|byte| *byte == b'.').next()?;
        if last.len() > LONGEST {
            return None;
        }
        let word = last.to_ascii_lowercase();
        let word = word.strip_suffix(b"chunk").unwrap_or(&word);
        let word = word.strip_suffix(b"message").filter(|rest| !rest.is_empty()).unwrap_or(word);
        Some(match word {
            b"system" | b"developer" => Self::System,
            b"user" | b"human" => Self::User,
            b"assistant" | b"ai" | b"model" => Self::Assistant,
            b"tool" | b"function" => Self::Tool,
            _ => return None,
        })
    }

    /// The role in the name of an event: `gen_ai.user.message`, `gen_ai.choice`.
    pub fn of_event(name: &[u8]) -> Option<Self> {
        match name.strip_prefix(b"gen_ai.")? {
            b"choice" | b"content.completion" => Some(Self::Assistant),
            b"content.prompt" => Some(Self::User),
            name => Self::parse(name.strip_suffix(b".message")?),
        }
    }
}

/// Who is said to speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Speaker<'a> {
    Known(Role),
    /// A role that is none of ours, as it was written.
    Named(Cow<'a, [u8]>),
}

impl Speaker<'_> {
    fn parse(word: Json<'_>) -> Option<Speaker<'static>> {
        let word = word.string().filter(|word| !matches!(&word[..], b"" | b"unknown"))?;
        Some(Role::parse(&word).map_or_else(|| Speaker::Named(word.into_owned().into()), Speaker::Known))
    }
}

/// A value of a message: JSON, or text that was not in quotes.
#[derive(Debug, Clone, Copy)]
pub enum Said<'a> {
    Json(Json<'a>),
    Text(&'a [u8]),
}

impl Said<'_> {
    fn is_empty(self) -> bool {
        match self {
            Self::Json(json) => json.is_string() && json.raw().is_empty(),
            Self::Text(text) => text.is_empty(),
        }
    }
}

/// One part of a message. Texts are never empty.
#[derive(Debug)]
pub enum Part<'a> {
    /// Words in quotes where they are JSON.
    Text(Said<'a>),
    Reasoning(Said<'a>),
    Refusal(Said<'a>),
    Call(Call<'a>),
    Answer {
        id: Option<Cow<'a, [u8]>>,
        response: Option<Said<'a>>,
    },
    /// Media in the message (base64), by address and by the provider's id.
    Blob(Said<'a>),
    Uri(Said<'a>),
    File(Said<'a>),
    /// What is of no known sort, as it is.
    Other(Json<'a>),
}

/// A tool call that is asked for.
#[derive(Debug)]
pub struct Call<'a> {
    pub id: Option<Cow<'a, [u8]>>,
    pub name: Option<Cow<'a, [u8]>>,
    pub arguments: Option<Json<'a>>,
}

/// Gives the parts of the message `value` holds to `found`, in order, and returns who speaks where it says so; where it
/// does not, it is `default`.
///
/// Who answers a tool call is the tool, whatever is said, and who asks for one is not: that is the assistant.
pub fn read(
    value: Json<'_>,
    default: Role,
    tapes: &Tapes,
    found: &mut dyn FnMut(Part<'_>),
) -> Option<Speaker<'static>> {
    let mut reader = Reader::new(found, default, tapes);
    let said = reader.message(value, None, DEPTH);
    match said {
        _ if reader.answers => Some(Speaker::Known(Role::Tool)),
        None | Some(Speaker::Known(Role::Tool)) if reader.asks => Some(Speaker::Known(Role::Assistant)),
        said => said,
    }
}

/// Deepest wrapping of a message in others that is looked into.
const DEPTH: u32 = 6;

macro_rules! members {
    ($($name:ident = $($key:literal)|+),* $(,)?) => {
        /// Members of messages and parts that mean something in some shape, with their keys.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Member { $($name),* }

        impl Member {
            const COUNT: usize = [$(Self::$name),*].len();

            fn of(key: &[u8]) -> Option<Self> {
                Some(match key {
                    $($($key)|+ => Self::$name,)*
                    _ => return None,
                })
            }
        }
    };
}

// Several keys are one member only where nobody writes both.
members! {
    Role = b"role" | b"message.role", OwnRole = b"_role", EventName = b"event.name",
    Type = b"type", BlockType = b"block_type",
    // What a message says
    Parts = b"parts", Content = b"content" | b"message.content", OwnContent = b"_content", Contents = b"contents", Blocks = b"blocks",
    ToolCalls = b"tool_calls" | b"message.tool_calls", FunctionCall = b"function_call", MoreKeywords = b"additional_kwargs",
    CallName = b"function_call_name", CallArguments = b"function_call_arguments_json",
    ReasoningContent = b"reasoning_content", Refusal = b"refusal",
    // What a message is wrapped in
    Message = b"message", Data = b"data", Keywords = b"kwargs", Prompt = b"prompt", Completion = b"completion",
    // Tool calls and answers
    Id = b"id" | b"tool_call.id", CallId = b"call_id" | b"callId", CamelCallId = b"toolCallId",
    SnakeCallId = b"tool_call_id" | b"message.tool_call_id",
    CamelUseId = b"toolUseId", SnakeUseId = b"tool_use_id", Ref = b"ref", Origin = b"origin",
    Name = b"name" | b"tool_call.function.name", CamelName = b"toolName", SnakeName = b"tool_name", Function = b"function",
    Arguments = b"arguments" | b"tool_call.function.arguments", Args = b"args", Input = b"input",
    Response = b"response", Result = b"result", Output = b"output",
    // Parts without a type
    GeminiCall = b"functionCall", GeminiAnswer = b"functionResponse" | b"function_response",
    BedrockCall = b"toolUse", BedrockAnswer = b"toolResult", BedrockReasoning = b"reasoningContent",
    GenkitCall = b"toolRequest", GenkitAnswer = b"toolResponse",
    WrappedCall = b"tool_call", HaystackAnswer = b"tool_call_result", OpenInferencePart = b"message_content",
    InlineData = b"inlineData" | b"inline_data", FileData = b"fileData" | b"file_data",
    // What parts hold
    Text = b"text", Value = b"value", Thinking = b"thinking", Reasoning = b"reasoning", Summary = b"summary",
    ReasoningText = b"reasoning_text" | b"reasoningText", Thought = b"thought",
    ImageUrl = b"image_url", Url = b"url", Uri = b"uri" | b"fileUri" | b"file_uri", Source = b"source",
    Image = b"image", Bytes = b"bytes", InputAudio = b"input_audio", File = b"file", FileId = b"file_id",
}

/// What kind of part a `type` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Text,
    Reasoning,
    Refusal,
    Call,
    Answer,
    Media,
}

impl Sort {
    fn parse(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"text" | b"input_text" | b"output_text" | b"summary_text" => Self::Text,
            b"reasoning" | b"thinking" | b"reasoning_text" => Self::Reasoning,
            b"refusal" => Self::Refusal,
            b"tool_call" | b"tool-call" | b"tool_use" | b"server_tool_use" | b"function_call"
            | b"function" => Self::Call,
            b"tool_call_response"
            | b"tool_result"
            | b"tool-result"
            | b"function_call_output"
            | b"tool_call_result"
            | b"function_response" => Self::Answer,
            b"blob" | b"uri" | b"file" | b"image" | b"image_url" | b"input_image" | b"input_audio"
            | b"audio" | b"video" | b"media" | b"input_file" | b"document" => Self::Media,
            _ => return None,
        })
    }
}

/// Which names of an id count, first the most telling.
const CALL_IDS: &[Member] = &[
    Member::CallId,
    Member::SnakeCallId,
    Member::CamelCallId,
    Member::SnakeUseId,
    Member::CamelUseId,
    Member::Ref,
    Member::Id,
];
const CALL_NAMES: &[Member] = &[Member::Name, Member::CamelName, Member::SnakeName];
const CALL_ARGUMENTS: &[Member] = &[Member::Arguments, Member::Args, Member::Input];
const RESPONSES: &[Member] =
    &[Member::Response, Member::Result, Member::Output, Member::Content, Member::Value];

/// The members of one object that mean something; nulls are as if absent.
struct Members<'a> {
    object: Json<'a>,
    /// Names within the text; 0, the text's own root, for none.
    names: [u32; Member::COUNT],
}

impl<'a> Members<'a> {
    fn of(object: Json<'a>) -> Self {
        let mut names = [0; Member::COUNT];
        for (key, value) in object.members() {
            let member = key.string().and_then(|key| Member::of(&key));
            if let Some(name) = member.and_then(|member| names.get_mut(member as usize)) {
                // The last of equal keys counts, also when it is null.
                *name = if value.is_null() { 0 } else { value.place() };
            }
        }
        Self { object, names }
    }

    fn get(&self, member: Member) -> Option<Json<'a>> {
        let name = *self.names.get(member as usize)?;
        (name > 0).then(|| self.object.placed(name))
    }

    fn first(&self, members: &[Member]) -> Option<Json<'a>> {
        members.iter().find_map(|member| self.get(*member))
    }

    fn has(&self, members: &[Member]) -> bool {
        self.first(members).is_some()
    }

    /// The first of the members that is a string or a number, as text.
    fn word(&self, members: &[Member]) -> Option<Cow<'a, [u8]>> {
        members.iter().find_map(|member| word(self.get(*member)?))
    }

    fn object(&self, member: Member) -> Option<Members<'a>> {
        self.get(member).filter(|value| value.is_object()).map(Members::of)
    }

    fn text(&self, members: &[Member]) -> Option<Json<'a>> {
        members.iter().find_map(|member| self.get(*member).filter(|value| value.is_string()))
    }

    /// The words of a part that is a text.
    fn words(&self) -> Option<Json<'a>> {
        let words = self.text(&[Member::Text, Member::Content, Member::Value]);
        words.or_else(|| self.object(Member::Text)?.text(&[Member::Value]))
    }

    fn sort(&self) -> Option<Sort> {
        Sort::parse(&self.get(Member::Type).or_else(|| self.get(Member::BlockType))?.string()?)
    }

    /// The role that `type` names, where it names the class of a message.
    fn class(&self) -> Option<Role> {
        Role::parse(&self.get(Member::Type)?.string()?)
    }

    fn event(&self) -> Option<Role> {
        Role::of_event(&self.get(Member::EventName)?.string()?)
    }

    /// What a message says.
    fn content(&self) -> Option<Json<'a>> {
        let filled = |member| self.get(member).filter(|list| list.inside().next().is_some());
        let content = [Member::Content, Member::OwnContent, Member::Blocks, Member::Text];
        let content = filled(Member::Contents).or_else(|| self.first(&content));
        // An empty list says nothing.
        self.get(Member::Parts).or(content).filter(|said| !said.is_array() || said.inside().next().is_some())
    }

    /// Whether this is the part of a message that has the answer of a tool.
    fn is_answer(&self) -> bool {
        use Member::{BedrockAnswer, GeminiAnswer, GenkitAnswer, HaystackAnswer};
        self.sort() == Some(Sort::Answer)
            || self.has(&[BedrockAnswer, GeminiAnswer, GenkitAnswer, HaystackAnswer])
    }

    /// Whether this is a part of a message, of a known sort.
    fn is_part(&self) -> bool {
        use Member::{
            BedrockCall, BedrockReasoning, FileData, GeminiCall, GenkitCall, InlineData, OpenInferencePart,
            OwnRole, Role, Text, Type, WrappedCall,
        };
        self.sort().is_some()
            || self.is_answer()
            || !self.has(&[Role, OwnRole, Type])
                && self.has(&[
                    BedrockCall,
                    BedrockReasoning,
                    FileData,
                    GeminiCall,
                    GenkitCall,
                    InlineData,
                    OpenInferencePart,
                    Text,
                    WrappedCall,
                ])
    }

    /// Whether this is a message rather than a part of one.
    fn is_message(&self) -> bool {
        use Member::{
            Blocks, CallName, Content, Contents, EventName, Message, OwnContent, OwnRole, Parts,
            ReasoningContent, Refusal, Role, ToolCalls,
        };
        if self.has(&[Role, OwnRole, EventName, Parts]) {
            return true;
        }
        if self.sort().is_some() {
            return false;
        }
        let says =
            [Content, OwnContent, Contents, Blocks, ToolCalls, CallName, Message, Refusal, ReasoningContent];
        self.class().is_some() || self.constructed().is_some() || self.has(&says)
    }

    /// The message LangChain has serialized, with who speaks.
    fn constructed(&self) -> Option<(Json<'a>, Option<Role>)> {
        let inner = self.get(Member::Keywords).filter(|inner| inner.is_object())?;
        match self.get(Member::Id).filter(|id| id.is_array()) {
            // The name of the class is the last of its path.
            Some(path) => {
                let class = path.inside().last().and_then(Json::string);
                Some((inner, class.and_then(|class| Role::parse(&class))))
            }
            None => Members::of(inner).class().map(|class| (inner, Some(class))),
        }
    }
}

fn word(value: Json<'_>) -> Option<Cow<'_, [u8]>> {
    match value.kind() {
        Kind::Number => Some(Cow::Borrowed(value.raw())),
        _ => value.string().filter(|text| !text.is_empty()),
    }
}

/// Whether a part of this `type` is of a known sort.
pub fn is_sort(kind: &[u8]) -> bool {
    Sort::parse(kind).is_some()
}

/// Whether this is a message rather than a part of one.
pub fn is_message(value: Json<'_>) -> bool {
    value.is_object() && Members::of(value).is_message()
}

/// The text of a part that is one.
pub fn text_of(part: Json<'_>) -> Option<Json<'_>> {
    let members = part.is_object().then(|| Members::of(part))?;
    if members.sort() != Some(Sort::Text) || members.is_message() {
        return None;
    }
    members.words()
}

/// Whether this is a list of nothing but parts of known sorts.
pub fn are_parts(value: Json<'_>) -> bool {
    let is_part = |part: Json<'_>| part.is_object() && Members::of(part).is_part();
    value.is_array() && value.inside().next().is_some() && value.inside().all(is_part)
}

/// Gives the object or array on that is encoded in a string. None for what is no such string.
pub fn opened<R>(value: Json<'_>, tapes: &Tapes, go_on: impl FnOnce(Json<'_>) -> R) -> Option<R> {
    // Most strings are plain words, which need not be decoded to see that.
    let first = value.raw().iter().find(|byte| !byte.is_ascii_whitespace())?;
    if !matches!(first, b'{' | b'[' | b'C' | b'\\') {
        return None;
    }
    let text = value.string()?;
    let text = trim(&text);
    let parse: Parse = match text.first()? {
        b'{' | b'[' => Tape::parse,
        _ if literal::is_likely(text) => literal::parse,
        _ => return None,
    };
    tapes.with(parse, text, go_on)
}

/// Who says what, where this is a list of just these two, as LangChain allows.
fn pair(value: Json<'_>) -> Option<(Role, Json<'_>)> {
    let mut inside = value.is_array().then(|| value.inside())?;
    match (inside.next()?, inside.next()?, inside.next()) {
        (role, words, None) if words.is_string() => Some((Role::parse(&role.string()?)?, words)),
        _ => None,
    }
}

/// The message inside, where these are the members of what it is wrapped in, and who that says speaks.
fn wrapped<'a>(members: &Members<'a>) -> Option<(Json<'a>, Option<Role>)> {
    use Member::{Content, Data, Message, OwnRole, Parts};
    if let Some(constructed) = members.constructed() {
        return Some(constructed);
    }
    if members.has(&[Member::Role, OwnRole, Parts]) {
        return None;
    }
    if let (Some(class), Some(inner)) = (members.class(), members.get(Data).filter(|inner| inner.is_object()))
    {
        return Some((inner, Some(class)));
    }
    match (members.get(Message), members.get(Content)) {
        (Some(inner), None) => Some((inner, members.event())),
        // A candidate of Gemini's.
        (None, Some(inner)) if inner.is_object() && Members::of(inner).has(&[Member::Role, Parts]) => {
            Some((inner, members.event()))
        }
        _ => None,
    }
}

struct Reader<'r> {
    found: &'r mut dyn FnMut(Part<'_>),
    tapes: &'r Tapes,
    default: Role,
    answers: bool,
    asks: bool,
    /// Ids of the calls among the parts, for some shapes list them once more.
    called: Option<HashSet<Vec<u8>, RandomState>>,
}

impl<'r> Reader<'r> {
    fn new(found: &'r mut dyn FnMut(Part<'_>), default: Role, tapes: &'r Tapes) -> Self {
        Self { found, tapes, default, answers: false, asks: false, called: None }
    }

    fn give(&mut self, part: Part<'_>) {
        match &part {
            Part::Text(words) | Part::Refusal(words) | Part::Reasoning(words) if words.is_empty() => return,
            Part::Call(Call { id: None, name: None, arguments: None }) => return,
            Part::Call(_) | Part::Reasoning(_) | Part::Refusal(_) => self.asks = true,
            Part::Answer { .. } => self.answers = true,
            _ => {}
        }
        (self.found)(part);
    }

    /// Reads a message; `outside` tells who speaks where it is wrapped in something that says so.
    fn message(&mut self, value: Json<'_>, outside: Option<Role>, depth: u32) -> Option<Speaker<'static>> {
        let outside = outside.map(Speaker::Known);
        if let Some((role, words)) = pair(value) {
            self.answer_or(words, self.is_tool(&Some(Speaker::Known(role))), None, |reader| {
                reader.content(words)
            });
            return Some(Speaker::Known(role));
        }
        let is_tool = self.is_tool(&outside);
        if !value.is_object() {
            self.answer_or(value, is_tool, None, |reader| reader.content(value));
            return outside;
        }
        let members = Members::of(value);
        if !members.is_message() {
            if members.sort() == Some(Sort::Call) {
                self.block(&members);
            } else {
                self.answer_or(value, is_tool, None, |reader| reader.block(&members));
            }
            return outside;
        }
        if depth > 0
            && let Some((inner, said)) = wrapped(&members)
        {
            return self.message(inner, said.or(self.known(&outside)), depth - 1);
        }
        let said = members
            .first(&[Member::Role, Member::OwnRole])
            .and_then(Speaker::parse)
            .or_else(|| members.event().map(Speaker::Known))
            .or_else(|| members.class().map(Speaker::Known));
        let said = outside.or(said);
        let said = match said {
            // Langfuse has the tool's name there, where LangChain knows it is a tool's message.
            Some(Speaker::Named(_)) if members.has(&[Member::MoreKeywords]) => {
                Some(Speaker::Known(Role::Tool))
            }
            said => said,
        };
        // Some say the user where they say which call is answered.
        let is_tool = self.is_tool(&said)
            || matches!(said, None | Some(Speaker::Known(Role::User))) && members.has(&[Member::SnakeCallId]);
        let more = members.object(Member::MoreKeywords);
        let thoughts = [Member::ReasoningContent, Member::Reasoning, Member::Thinking];
        let thought = members.text(&thoughts).or_else(|| more.as_ref()?.text(&thoughts));
        if let Some(thought) = thought {
            self.give(Part::Reasoning(Said::Json(thought)));
        }
        match members.content() {
            Some(content) => {
                self.answer_or(content, is_tool, members.word(CALL_IDS), |reader| reader.content(content));
            }
            None => {
                let id = members.word(CALL_IDS).filter(|_| is_tool);
                if id.is_some() {
                    self.give(Part::Answer { id, response: None });
                }
            }
        }
        if let Some(refusal) = members.text(&[Member::Refusal]) {
            self.give(Part::Refusal(Said::Json(refusal)));
        }
        self.calls_beside(&members, more.as_ref());
        said
    }

    fn known(&self, speaker: &Option<Speaker<'static>>) -> Option<Role> {
        match speaker {
            Some(Speaker::Known(role)) => Some(*role),
            _ => None,
        }
    }

    fn is_tool(&self, said: &Option<Speaker<'static>>) -> bool {
        match said {
            Some(speaker) => *speaker == Speaker::Known(Role::Tool),
            None => self.default == Role::Tool,
        }
    }

    /// What a tool says is its answer, unless there is one in it; what others say is read `otherwise`.
    fn answer_or(
        &mut self,
        content: Json<'_>,
        is_tool: bool,
        id: Option<Cow<'_, [u8]>>,
        otherwise: impl Fn(&mut Reader<'_>),
    ) {
        if is_tool {
            let mut ignored = |_: Part<'_>| {};
            let mut probe = Reader::new(&mut ignored, self.default, self.tapes);
            otherwise(&mut probe);
            if !probe.answers {
                let response = Some(content).filter(|content| !content.is_null());
                return self.give(Part::Answer { id, response: response.map(Said::Json) });
            }
        }
        otherwise(self);
    }

    /// Calls that stand beside the content.
    fn calls_beside(&mut self, members: &Members<'_>, more: Option<&Members<'_>>) {
        let lists = [members.get(Member::ToolCalls), more.and_then(|more| more.get(Member::ToolCalls))];
        let is_filled = |list: &Json<'_>| list.is_string() || list.inside().next().is_some();
        match lists.into_iter().flatten().find(is_filled) {
            Some(list) => match list.string() {
                Some(text) => {
                    let tapes = self.tapes;
                    tapes.with(Tape::parse, trim(&text), |list| self.listed_calls(list));
                }
                None => self.listed_calls(list),
            },
            None => {
                if let Some(call) = members.object(Member::FunctionCall) {
                    self.call(&call, true);
                } else if let Some(name) = members.word(&[Member::CallName]) {
                    let arguments = members.get(Member::CallArguments);
                    self.give(Part::Call(Call { id: None, name: Some(name), arguments }));
                }
            }
        }
    }

    fn listed_calls(&mut self, list: Json<'_>) {
        for call in list.inside() {
            match opened(call, self.tapes, |inner| self.listed_call(inner)) {
                Some(()) => {}
                None => self.listed_call(call),
            }
        }
    }

    fn listed_call(&mut self, call: Json<'_>) {
        if call.is_object() {
            self.call(&Members::of(call), true);
        }
    }

    /// The content of a message: text, one part, or a list of parts.
    fn content(&mut self, content: Json<'_>) {
        match content.kind() {
            Kind::Null => {}
            Kind::Str | Kind::Escaped => {
                let encoded = opened(content, self.tapes, |inner| {
                    let are_parts = are_parts(inner);
                    if are_parts {
                        inner.inside().for_each(|part| self.part(part));
                    }
                    are_parts
                });
                if encoded != Some(true) {
                    self.say(content);
                }
            }
            Kind::Array => content.inside().for_each(|part| self.part(part)),
            Kind::Object => {
                let members = Members::of(content);
                match members.get(Member::Parts) {
                    Some(parts) => parts.inside().for_each(|part| self.part(part)),
                    None => self.block(&members),
                }
            }
            Kind::Number => self.give(Part::Text(Said::Text(content.raw()))),
            Kind::True => self.give(Part::Text(Said::Text(b"true"))),
            Kind::False => self.give(Part::Text(Said::Text(b"false"))),
        }
    }

    fn part(&mut self, part: Json<'_>) {
        match part.kind() {
            Kind::Null => {}
            Kind::Str | Kind::Escaped => self.say(part),
            Kind::Object => self.block(&Members::of(part)),
            _ => self.give(Part::Other(part)),
        }
    }

    /// Gives words, or the message some (OpenAI Agents) write there as Python does.
    fn say(&mut self, words: Json<'_>) {
        if !words.raw().starts_with(b"{'") {
            return self.give(Part::Text(Said::Json(words)));
        }
        let text = words.string().unwrap_or_default();
        let tapes = self.tapes;
        let message = tapes.with(literal::parse, &text, |value| {
            let is_message = value.is_object() && Members::of(value).has(&[Member::Role]);
            if is_message {
                self.message(value, None, DEPTH);
            }
            is_message
        });
        if message != Some(true) {
            self.give(Part::Text(Said::Json(words)));
        }
    }

    /// A text. Some have a list of parts in it, and where content is not recorded it is empty.
    fn words(&mut self, members: &Members<'_>) -> Option<()> {
        if let Some(words) = members.words() {
            self.say(words);
            return Some(());
        }
        let inner = members.first(&[Member::Content, Member::Text, Member::Value]);
        if inner.is_some_and(|inner| !are_parts(inner)) {
            return None;
        }
        inner.into_iter().flat_map(Json::inside).for_each(|part| self.part(part));
        Some(())
    }

    fn block(&mut self, members: &Members<'_>) {
        let known = match members.sort() {
            Some(Sort::Text) => self.words(members),
            Some(Sort::Reasoning) => self.reasoning(members),
            Some(Sort::Refusal) => {
                let words = members.text(&[Member::Refusal, Member::Content, Member::Text]);
                words.map(|words| self.give(Part::Refusal(Said::Json(words))))
            }
            Some(Sort::Call) => {
                self.call(members, false);
                Some(())
            }
            Some(Sort::Answer) => {
                self.answer(members);
                Some(())
            }
            Some(Sort::Media) => self.media(members, DEPTH),
            None if members.has(&[Member::Type]) => None,
            None => self.untyped(members),
        };
        // Nothing but a type says nothing.
        let is_bare = || members.has(&[Member::Type]) && members.object.kept().len() == 1;
        if known.is_none() && !is_bare() {
            self.give(Part::Other(members.object));
        }
    }

    /// A part that is told by its only member. None when it is of no known sort.
    fn untyped(&mut self, members: &Members<'_>) -> Option<()> {
        use Member::{
            Args, Arguments, BedrockAnswer, BedrockCall, BedrockReasoning, CallId, CamelName, Completion,
            Content, FileData, Function, FunctionCall, GeminiAnswer, GeminiCall, GenkitAnswer, GenkitCall,
            HaystackAnswer, Image, InlineData, Name, OpenInferencePart, Origin, Output, Prompt, Reasoning,
            ReasoningText, Response, Result, Text, Thought, WrappedCall,
        };
        let object = |of: &[Member]| of.iter().find_map(|member| members.object(*member));
        if let Some(part) = object(&[OpenInferencePart]) {
            // What a call calls stands beside the part that says it is one.
            match object(&[WrappedCall]) {
                Some(call) if part.sort() == Some(Sort::Call) => self.call(&call, false),
                _ => self.block(&part),
            }
        } else if let Some(call) = object(&[WrappedCall, GeminiCall, FunctionCall, BedrockCall, GenkitCall]) {
            self.call(&call, false);
        } else if let Some(answer) = object(&[HaystackAnswer]) {
            let id = answer.object(Origin).and_then(|origin| origin.word(CALL_IDS));
            let response = answer.first(RESPONSES).map(Said::Json);
            self.give(Part::Answer { id, response });
        } else if let Some(answer) = object(&[GeminiAnswer, BedrockAnswer, GenkitAnswer]) {
            self.answer(&answer);
        } else if let Some(thought) = object(&[BedrockReasoning, Reasoning]) {
            let thought = thought.object(ReasoningText).unwrap_or(thought);
            let words = thought.text(&[ReasoningText, Text])?;
            self.give(Part::Reasoning(Said::Json(words)));
        } else if let Some(words) = object(&[Prompt, Completion]) {
            self.say(words.text(&[Text])?);
        } else if members.has(&[InlineData, FileData, Image]) {
            return self.media(members, DEPTH);
        } else if members.has(CALL_IDS)
            && (members.has(&[Output, Result, Response]) || members.has(&[CallId]) && members.has(&[Content]))
        {
            self.answer(members);
        } else if members.has(&[CamelName, Function])
            || members.has(&[Name]) && members.has(&[Args, Arguments])
        {
            self.call(members, false);
        } else {
            let words = members.text(&[Text])?;
            if members.get(Thought).is_some_and(|flag| flag.kind() == Kind::True) {
                self.give(Part::Reasoning(Said::Json(words)));
            } else {
                self.say(words);
            }
        }
        Some(())
    }

    /// Thoughts in words. Where they are kept secret or left out, nothing is said.
    fn reasoning(&mut self, members: &Members<'_>) -> Option<()> {
        use Member::{Content, Reasoning, Summary, Text, Thinking};
        if let Some(words) = members.text(&[Content, Text, Thinking, Reasoning]) {
            self.give(Part::Reasoning(Said::Json(words)));
            return Some(());
        }
        let lists = [members.get(Summary), members.get(Content)];
        for part in lists.into_iter().flatten().filter(|list| list.is_array()).flat_map(Json::inside) {
            let words = if part.is_object() { Members::of(part).text(&[Text]) } else { Some(part) };
            if let Some(words) = words.filter(|words| words.is_string()) {
                self.give(Part::Reasoning(Said::Json(words)));
            }
        }
        Some(())
    }

    /// A call among the parts, or `listed` beside them.
    fn call(&mut self, members: &Members<'_>, listed: bool) {
        if let Some(inner) = members.object(Member::WrappedCall) {
            return self.call(&inner, listed);
        }
        let function = members.object(Member::Function);
        let id = members.word(CALL_IDS);
        if let Some(id) = &id {
            let called = self.called.get_or_insert_default();
            if listed && called.contains(&id[..]) {
                return;
            }
            if !listed {
                called.insert(id.to_vec());
            }
        }
        let named = function.as_ref().and_then(|function| function.word(CALL_NAMES));
        let name = named.or_else(|| members.word(CALL_NAMES));
        let given = function.as_ref().and_then(|function| function.first(CALL_ARGUMENTS));
        let arguments = given.or_else(|| members.first(CALL_ARGUMENTS));
        self.give(Part::Call(Call { id, name, arguments }));
    }

    fn answer(&mut self, members: &Members<'_>) {
        let response = members.first(RESPONSES).map(Said::Json);
        self.give(Part::Answer { id: members.word(CALL_IDS), response });
    }

    fn media(&mut self, members: &Members<'_>, depth: u32) -> Option<()> {
        use Member::{
            Bytes, Content, Data, File, FileData, FileId, Image, ImageUrl, InlineData, InputAudio, Source,
            Uri, Url,
        };
        if let Some(id) = members.text(&[FileId]) {
            self.give(Part::File(Said::Json(id)));
        } else if let Some(address) = members.text(&[Uri, Url]) {
            self.medium(address, true);
        } else if let Some(either) = members.text(&[ImageUrl, Image, Data, Bytes]) {
            self.medium(either, false);
        } else if let Some(data) = members.text(&[Content]) {
            self.give(Part::Blob(Said::Json(data)));
        } else {
            let inner = [Source, ImageUrl, InputAudio, InlineData, FileData, Image, File]
                .into_iter()
                .find_map(|member| members.object(member))?;
            return self.media(&inner, depth.checked_sub(1)?);
        }
        Some(())
    }

    /// An address, which may have the data in it, or data.
    fn medium(&mut self, words: Json<'_>, is_address: bool) {
        const LONGEST_SCHEME: usize = 10;
        let text = words.string().unwrap_or_default();
        let data = text.strip_prefix(b"data:").and_then(|rest| rest.iter().position(|byte| *byte == b','));
        let start = text.get(..text.len().min(LONGEST_SCHEME)).unwrap_or_default();
        if let Some(comma) = data {
            let data = text.get(b"data:,".len() + comma..).unwrap_or_default();
            self.give(Part::Blob(Said::Text(data)));
        } else if is_address || memchr::memmem::find(start, b"://").is_some() {
            self.give(Part::Uri(Said::Json(words)));
        } else {
            self.give(Part::Blob(Said::Json(words)));
        }
    }
}
