/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CODEX_H
#define CODEX_H

/* What the tests of the driver for Codex share: what the CLI prints, and what
 * was written to it. */

#include "../fuzz/turn.h"

static apr_pool_t *pool;

/* JSON written with single quotes, to spare the backslashes. */
static inline const char *q(const char *text)
{
    char *copy = apr_pstrdup(pool, text), *c;

    for (c = copy; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    return copy;
}

/* Answers to our requests. */
#define HELLO "{'id':'hello','result':{'userAgent':'clibridge/0.169.0'}}\n"
#define MADE(id, thread) "{'id':'" id "','result':{'thread':{'id':'" thread \
    "','turns':[]},'model':'x'}}\n"
#define SPARE(thread) MADE("spare", thread)
#define THREAD(thread) MADE("thread", thread)
#define ITEMS "{'id':'items','result':{}}\n"
#define TURN(turn) "{'id':'turn','result':{'turn':{'id':'" turn \
    "','items':[],'status':'inProgress','error':null}}}\n"
#define STOPPED "{'id':'stop','result':{}}\n"
#define LEFT "{'id':'leave','result':{'status':'unsubscribed'}}\n"
#define REFUSED(id, why) "{'id':'" id "','error':{'code':-32600,'message':'" \
    why "'}}\n"

/* News of the turn u0 in the thread t0, and of any. */
#define NEWS_OF(thread, turn, method, more) "{'method':'" method \
    "','params':{'threadId':'" thread "','turnId':'" turn "'," more "}}\n"
#define NEWS(method, more) NEWS_OF("t0", "u0", method, more)
#define TEXT(text) NEWS("item/agentMessage/delta", \
    "'itemId':'msg_1','delta':'" text "'")
#define RAW(item) NEWS("rawResponseItem/completed", "'item':" item)
#define CALL(id, name, arguments) RAW("{'type':'function_call','status':" \
    "'completed','id':'fc_1','name':'" name "','arguments':'" arguments \
    "','call_id':'" id "'}")
#define OPEN(request, id) "{'method':'item/tool/call','id':" request \
    ",'params':{'threadId':'t0','turnId':'u0','callId':'" id "'," \
    "'namespace':null,'tool':'f','arguments':{}}}\n"
#define COUNTED NEWS("rawResponse/completed", "'responseId':'resp_1'," \
    "'usage':{'totalTokens':144,'inputTokens':111,'cachedInputTokens':22," \
    "'cacheWriteInputTokens':3,'outputTokens':33,'reasoningOutputTokens':7}")
#define ENDED(thread, status, error) "{'method':'turn/completed','params':" \
    "{'threadId':'" thread "','turn':{'id':'u0','items':[],'status':'" status \
    "','error':" error "}}}\n"
#define DONE ENDED("t0", "completed", "null")
#define FAILED(message, info) ENDED("t0", "failed", "{'message':'" message \
    "','codexErrorInfo':" info ",'additionalDetails':null}")
#define BROKEN_OFF ENDED("t0", "interrupted", "null")

#define BEGUN ITEMS TURN("u0")
#define USAGE "usage 86+22+3/33/7"

static inline clb_chat_t *chat_new(int turns)
{
    clb_chat_t *chat = clb_chat_create(pool);
    int i;

    chat->model = "gpt-5.5";
    for (i = 1; i <= turns; i++) {
        clb_chat_part(clb_chat_message(chat, i % 2 ? CLB_ROLE_USER
                                             : CLB_ROLE_ASSISTANT),
                      CLB_PART_TEXT, apr_psprintf(pool, "text %d", i));
    }
    return chat;
}

static inline clb_tool_t *tool(clb_chat_t *chat, const char *name)
{
    clb_tool_t *one = apr_array_push(chat->tools);

    memset(one, 0, sizeof(*one));
    one->name = name;
    one->schema = q("{'type':'object'}");
    return one;
}

/* One that offers the tools f and a.b. */
static inline clb_chat_t *tool_chat(void)
{
    clb_chat_t *chat = chat_new(1);

    tool(chat, "f");
    tool(chat, "a.b");
    return chat;
}

static inline void say(clb_chat_t *chat, clb_role_e role, const char *text)
{
    clb_chat_part(clb_chat_message(chat, role), CLB_PART_TEXT, text);
}

static inline void call(clb_chat_t *chat, const char *id, const char *name,
                        const char *arguments)
{
    clb_part_t *part = clb_chat_part(clb_chat_message(chat,
                                     CLB_ROLE_ASSISTANT), CLB_PART_CALL,
                                     q(arguments));

    part->id = id;
    part->name = name;
}

static inline clb_message_t *result(clb_chat_t *chat, const char *id,
                                    const char *text)
{
    clb_part_t *part = clb_chat_part(clb_chat_message(chat, CLB_ROLE_USER),
                                     CLB_PART_RESULT, NULL);
    clb_message_t *content = apr_pcalloc(pool, sizeof(*content));

    part->id = id;
    part->parts = content->parts = apr_array_make(pool, 1,
                                                  sizeof(clb_part_t));
    if (text != NULL) {
        clb_chat_part(content, CLB_PART_TEXT, text);
    }
    return content;
}

/* A process that is ready, and has the thread t0. */
static inline void warm(turn_t *turn)
{
    turn_init(turn, pool, &clb_driver_codex, CLB_REUSE_UNSET);
    turn_input(turn, CLB_IN_WARM, NULL, 0, 0);
    turn_print(turn, q(HELLO SPARE("t0")));
    turn_next(turn);
}

/* The next turn of the same process. */
static inline void ask(turn_t *turn, clb_chat_t *chat, int known)
{
    turn_next(turn);
    turn->chat = chat;
    turn->known = known;
    turn_input(turn, CLB_IN_CHAT, NULL, 0, 0);
}

static inline void begin(turn_t *turn, clb_chat_t *chat)
{
    warm(turn);
    ask(turn, chat, 0);
    if (chat->tools->nelts > 0) {
        turn_print(turn, q(THREAD("t0")));
    }
}

/* The keeper takes over: nobody is asked any more. */
static inline void cancel(turn_t *turn)
{
    turn->chat = NULL;
    turn->fate = CLB_FATE_NONE;
    clb_buf_reset(&turn->lines);
    turn_input(turn, CLB_IN_CANCEL, NULL, 0, 0);
}

/* What was written to stdin: the ids of the requests, or the methods of those
 * that have none. */
static inline const char *asked(const turn_t *turn)
{
    const char *from = turn->lines.data, *lf, *why, *all = "";
    clb_json_t *json;

    for (; (lf = strchr(from, '\n')) != NULL; from = lf + 1) {
        const char *word;

        if (clb_json_parse(&json, from, (apr_size_t)(lf - from),
                           CLB_JSON_STRICT, &why, pool) != APR_SUCCESS) {
            return why;
        }
        word = clb_json_get_string(json, "id");
        word = word != NULL ? word : clb_json_get_string(json, "method");
        all = apr_pstrcat(pool, all, *all == '\0' ? "" : " ", word != NULL
                          ? word : "answer", NULL);
    }
    return all;
}

/* Line @a i (from 0) of what was written to stdin, parsed. */
static inline clb_json_t *written(const turn_t *turn, int i)
{
    const char *from = turn->lines.data, *lf, *why;
    clb_json_t *json = NULL;

    while ((lf = strchr(from, '\n')) != NULL && i-- > 0) {
        from = lf + 1;
    }
    if (lf != NULL) {
        clb_json_parse(&json, from, (apr_size_t)(lf - from), CLB_JSON_STRICT,
                       &why, pool);
    }
    return json;
}

/* The text of the value at @a path of that line. */
static inline const char *at(const turn_t *turn, int i, const char *path)
{
    const clb_json_t *json = clb_json_find(written(turn, i), path);

    return json == NULL ? NULL : clb_json_text(pool, json);
}

#endif
