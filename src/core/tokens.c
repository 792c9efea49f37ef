/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An estimate of tokens. No vendor tells how its newer models count, so it is a
 * sum over what texts are made of, fitted to the tokenizer that Anthropic once
 * published (@anthropic-ai/tokenizer) on 26 languages, code and JSON, times
 * 1.3, by which its newer models are said to need more. Rather too much than
 * too little: clients shorten their conversations by it.
 */
#include "tokens.h"

#include "text.h"

#include <apr_lib.h>
#include <string.h>

/* In hundredths of a token. */
#define WORD     175    /* a run of letters, with the blank before it */
#define LONGER    20    /* each letter of it after the fourth */
#define HUMP     200    /* an upper case letter after a lower case one */
#define DIGIT     68
#define SIGN      40
#define GAP      178    /* a run of blanks other than one space */
#define WIDE2     85    /* by the bytes of a character */
#define WIDE3    132
#define WIDE4    260

/* In tokens, as the vendor's documentation has them or follows from it. */
#define REQUEST    3
#define MESSAGE    4
#define TOOLS    350    /* what is said of tools as such */
#define TOOL      12
#define IMAGE   1600    /* the most that one of usual size takes */
#define PDF_PART  30    /* bytes of a PDF for a token, by its usual pages */

#define SHORT_WORD 4

static apr_int64_t word(const char **text)
{
    const char *c = *text;
    apr_int64_t sum = WORD;

    for (; apr_isalpha(*c); c++) {
        sum += c > *text && apr_isupper(*c) && apr_islower(c[-1]) ? HUMP : 0;
        sum += c - *text >= SHORT_WORD ? LONGER : 0;
    }
    *text = c;
    return sum;
}

static apr_int64_t gap(const char **text)
{
    apr_size_t len = clb_blanks(*text);
    apr_int64_t sum = len == 1 && **text == ' ' ? 0 : GAP;

    *text += len;
    return sum;
}

static apr_int64_t wide(const char **text)
{
    static const int sums[] = { WIDE2, WIDE2, WIDE3, WIDE4 };
    const char *c = *text + 1;
    apr_int64_t sum;

    while ((*c & 0xc0) == 0x80 && c - *text < 4) {
        c++;
    }
    sum = sums[c - *text - 1];
    *text = c;
    return sum;
}

apr_int64_t clb_tokens_text(const char *text)
{
    apr_int64_t sum = 0;

    while (*text != '\0') {
        if (apr_isalpha(*text)) {
            sum += word(&text);
        }
        else if (clb_blanks(text) > 0) {
            sum += gap(&text);
        }
        else if (*text & 0x80) {
            sum += wide(&text);
        }
        else {
            sum += apr_isdigit(*text) ? DIGIT : SIGN;
            text++;
        }
    }
    return (sum + 99) / 100;
}

static apr_int64_t tools(const clb_chat_t *chat)
{
    apr_int64_t sum = chat->tools->nelts > 0 ? TOOLS : 0;
    int i;

    for (i = 0; i < chat->tools->nelts; i++) {
        const clb_tool_t *tool = &APR_ARRAY_IDX(chat->tools, i, clb_tool_t);

        sum += TOOL + clb_tokens_text(tool->name)
             + clb_tokens_text(tool->schema)
             + (tool->description == NULL ? 0
                : clb_tokens_text(tool->description));
    }
    return sum;
}

static apr_int64_t parts_of(const apr_array_header_t *parts);

static apr_int64_t part_of(const clb_part_t *part)
{
    apr_int64_t sum = part->text == NULL ? 0 : clb_tokens_text(part->text);

    switch (part->kind) {
    case CLB_PART_IMAGE:
        return IMAGE;
    case CLB_PART_DOCUMENT:
        return sum + (part->name == NULL ? 0 : clb_tokens_text(part->name))
             + (part->text != NULL ? 0 : IMAGE)
             + (part->data == NULL ? 0
                : (apr_int64_t)(strlen(part->data) / 4 * 3 / PDF_PART));
    case CLB_PART_CALL:
        return sum + TOOL + clb_tokens_text(part->name);
    case CLB_PART_RESULT:
        return TOOL + parts_of(part->parts);
    default:
        return sum;
    }
}

static apr_int64_t parts_of(const apr_array_header_t *parts)
{
    apr_int64_t sum = 0;
    int i;

    for (i = 0; i < parts->nelts; i++) {
        sum += part_of(&APR_ARRAY_IDX(parts, i, clb_part_t));
    }
    return sum;
}

apr_int64_t clb_tokens_chat(const clb_chat_t *chat)
{
    apr_int64_t sum = REQUEST + tools(chat)
        + (chat->system == NULL ? 0 : clb_tokens_text(chat->system));
    int i;

    for (i = 0; i < chat->messages->nelts; i++) {
        sum += MESSAGE + parts_of(APR_ARRAY_IDX(chat->messages, i,
                                                clb_message_t).parts);
    }
    return sum;
}
