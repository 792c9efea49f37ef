/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input of Responses: a text, or items. Neighbours that are the assistant's
 * are one message, as they were one answer. What the vendor's own tools left in
 * a history no CLI can be told.
 */
#include "responses.h"

#include "openai_chat.h"

#include <apr_strings.h>
#include <string.h>

/* The assistant's message that is going on, or a new one; NULL, and the error
 * set, if it would be too long. */
static clb_message_t *assistant(clb_place_t *at)
{
    const apr_array_header_t *messages = at->chat->messages;
    clb_message_t *last = messages->nelts == 0 ? NULL
        : &APR_ARRAY_IDX(messages, messages->nelts - 1, clb_message_t);

    if (last == NULL || last->role != CLB_ROLE_ASSISTANT) {
        return clb_chat_message(at->chat, CLB_ROLE_ASSISTANT);
    }
    if (last->parts->nelts >= CLB_RESPONSES_ROW) {
        clb_place_bad(at, CLB_BAD_REQUEST, "", "is one of too many items of "
                      "the assistant's without any other");
        return NULL;
    }
    return last;
}

static apr_status_t take_message(clb_place_t *at, const clb_json_t *item)
{
    const char *role = clb_json_get_string(item, "role");
    const clb_json_t *content = clb_json_get(item, "content");
    clb_message_t *message = NULL;

    if (role == NULL) {
        return clb_place_must_be(at, ".role", "a string");
    }
    if (strcmp(role, "user") == 0) {
        message = clb_chat_message(at->chat, CLB_ROLE_USER);
    }
    else if (strcmp(role, "assistant") == 0) {
        if ((message = assistant(at)) == NULL) {
            return APR_EGENERAL;
        }
    }
    else if (strcmp(role, "system") != 0 && strcmp(role, "developer") != 0) {
        return clb_place_must_be(at, ".role", "user, assistant, system or "
                                 "developer");
    }
    return clb_openai_content(at, message, ".content", content);
}

static apr_status_t take_call(clb_place_t *at, const clb_json_t *item,
                              const char *name, const char *arguments)
{
    clb_message_t *message = assistant(at);
    clb_part_t call = { .kind = CLB_PART_CALL, .text = arguments };

    call.id = clb_json_get_string(item, "call_id");
    call.name = clb_responses_name(clb_json_get_string(item, "namespace"),
                                   name, at->chat->pool);
    return message == NULL ? APR_EGENERAL
         : clb_openai_call(at, message, "", &call);
}

static apr_status_t take_function(clb_place_t *at, const clb_json_t *item)
{
    return take_call(at, item, clb_json_get_string(item, "name"),
                     clb_openai_arguments(clb_json_get(item, "arguments"),
                                          at->chat->pool));
}

static apr_status_t take_custom(clb_place_t *at, const clb_json_t *item)
{
    return take_call(at, item, clb_json_get_string(item, "name"),
                     clb_openai_input(item, at->chat->pool));
}

/* The client ran it for another model, one that knows this tool. */
static apr_status_t take_shell(clb_place_t *at, const clb_json_t *item)
{
    return take_call(at, item, "local_shell",
                     clb_openai_arguments(clb_json_get(item, "action"),
                                          at->chat->pool));
}

static apr_status_t take_output(clb_place_t *at, const clb_json_t *item)
{
    return clb_openai_result(at, item, "call_id", "output");
}

/* What @a sealed holds behind @a kind, or NULL. */
static const char *unsealed(const char *sealed, const char *kind)
{
    apr_size_t len = strlen(kind);

    return sealed != NULL && strncmp(sealed, kind, len) == 0
           && sealed[len] != '\0' ? sealed + len : NULL;
}

static const char *summary(const clb_json_t *parts, apr_pool_t *pool)
{
    clb_buf_t all;
    apr_size_t i;

    clb_buf_init(&all, pool, 64);
    for (i = 0; i < clb_json_size(parts); i++) {
        const char *text = clb_json_get_string(clb_json_at(parts, i), "text");

        if (text != NULL) {
            clb_buf_puts(&all, all.len > 0 ? "\n\n" : "");
            clb_buf_puts(&all, text);
        }
    }
    return all.data;
}

/* What another vendor sealed stays in, as nothing that a model is told. */
static apr_status_t take_reasoning(clb_place_t *at, const clb_json_t *item)
{
    const char *sealed = clb_json_get_string(item, "encrypted_content");
    clb_message_t *message = assistant(at);
    clb_part_t *part;

    if (message == NULL) {
        return APR_EGENERAL;
    }
    part = clb_chat_part(message, CLB_PART_REASONING,
                         summary(clb_json_get(item, "summary"),
                                 at->chat->pool));
    part->signature = unsealed(sealed, CLB_RESPONSES_SIGNED);
    part->data = unsealed(sealed, CLB_RESPONSES_HIDDEN);
    return APR_SUCCESS;
}

static apr_status_t take_nothing(clb_place_t *at, const clb_json_t *item)
{
    return APR_SUCCESS;
}

static apr_status_t take_hosted(clb_place_t *at, const clb_json_t *item)
{
    clb_chat_give(at->chat, CLB_OTHER, apr_psprintf(at->chat->pool, "input[%"
                  APR_SIZE_T_FMT "]", at->message));
    return APR_SUCCESS;
}

static apr_status_t take_reference(clb_place_t *at, const clb_json_t *item)
{
    return clb_place_bad(at, CLB_UNSUPPORTED, "", "refers to an item that is "
                         "not known here: send the item itself");
}

/* What was said before it is not sent again. */
static apr_status_t take_compaction(clb_place_t *at, const clb_json_t *item)
{
    const char *summary = unsealed(clb_json_get_string(item,
                                   "encrypted_content"),
                                   CLB_RESPONSES_SUMMARY);

    if (summary == NULL) {
        return take_hosted(at, item);
    }
    clb_chat_part(clb_chat_message(at->chat, CLB_ROLE_USER), CLB_PART_TEXT,
                  apr_pstrcat(at->chat->pool, "A summary of our conversation "
                              "so far:\n\n", summary, NULL));
    return APR_SUCCESS;
}

static const struct {
    const char *type;
    clb_place_fn *take;
} kinds[] = {
    { "message", take_message },
    { "function_call", take_function },
    { "function_call_output", take_output },
    { "custom_tool_call", take_custom },
    { "custom_tool_call_output", take_output },
    { "local_shell_call", take_shell },
    { "reasoning", take_reasoning },
    { "additional_tools", take_nothing },
    { "item_reference", take_reference },
    { "compaction", take_compaction },
    { "compaction_summary", take_compaction },
    { "web_search_call", take_hosted },
    { "file_search_call", take_hosted },
    { "code_interpreter_call", take_hosted },
    { "image_generation_call", take_hosted },
    { "mcp_list_tools", take_hosted },
    { "mcp_call", take_hosted },
    { "tool_search_call", take_hosted },
    { "tool_search_output", take_hosted },
};

static apr_status_t take_item(clb_place_t *at, const clb_json_t *item)
{
    const char *type = clb_json_get_string(item, "type");
    apr_size_t i;

    if (!clb_json_is_object(item)) {
        return clb_place_must_be(at, "", "an item");
    }
    type = type == NULL ? "message" : type;
    for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (strcmp(kinds[i].type, type) == 0) {
            return kinds[i].take(at, item);
        }
    }
    return clb_place_bad(at, CLB_UNSUPPORTED, "", apr_pstrcat(at->chat->pool,
                         "has the type '", type, "', which a CLI cannot be "
                         "told", NULL));
}

static apr_status_t take_instructions(clb_chat_t *chat, const char *name,
                                      const clb_json_t *value,
                                      clb_error_t *error)
{
    if (!clb_json_is_string(value)) {
        return clb_take_bad(chat, name, "a string", error);
    }
    clb_chat_system(chat, clb_json_string(value));
    return APR_SUCCESS;
}

static apr_status_t take_verbosity(clb_chat_t *chat, const char *name,
                                   const clb_json_t *value,
                                   clb_error_t *error)
{
    const char *text = clb_json_string(value);

    if (text == NULL || (strcmp(text, "low") != 0 && strcmp(text, "high") != 0
                         && strcmp(text, "medium") != 0)) {
        return clb_take_bad(chat, name, "low, medium or high", error);
    }
    if (*text != 'm') {
        clb_chat_give(chat, CLB_OTHER, name);
    }
    return APR_SUCCESS;
}

static apr_status_t take_text(clb_chat_t *chat, const char *name,
                              const clb_json_t *value, clb_error_t *error)
{
    static const clb_take_t members[] = {
        { "format", clb_openai_format },
        { "verbosity", take_verbosity },
        { NULL, NULL }
    };

    return clb_take_members(chat, name, value, members, error);
}

static const clb_take_t fields[] = {
    { "instructions", take_instructions },
    { "max_output_tokens", clb_take_max_tokens },
    { "text", take_text },
    { NULL, NULL }
};

apr_status_t clb_responses_input(clb_chat_t *chat, const clb_json_t *body,
                                 clb_error_t *error)
{
    const clb_json_t *input = clb_json_get(body, "input");
    apr_status_t rv;

    chat->messages_name = "input";
    chat->items = clb_json_is_string(input)
                ? clb_json_pack(chat->pool, "[{s:s, s:O}]", "role", "user",
                                "content", input) : input;
    if ((rv = clb_take_fields(chat, body, fields, error)) != APR_SUCCESS) {
        return rv;
    }
    if (clb_json_is_string(input)) {
        clb_chat_part(clb_chat_message(chat, CLB_ROLE_USER), CLB_PART_TEXT,
                      clb_json_string(input));
        return APR_SUCCESS;
    }
    return clb_json_is_array(input)
         ? clb_place_messages(chat, "input", input, take_item, error)
         : clb_take_bad(chat, "input", "a string or an array of items", error);
}
