/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLB_ACP_H
#define CLB_ACP_H

#include "../core/json.h"
#include "driver.h"

/**
 * The parts of the drivers that speak the Agent Client Protocol: acp.c is what
 * all agents have in common, acp_ask.c what they are asked, acp_settings.c what
 * some of them read of a request in a file, acp_tools.c how they get the
 * client's tools, acp_error.c what their errors mean, acp_report.c what they
 * say of themselves, and one file for each kind of agent what is its own.
 */

/** An id of a session, with its NUL: a UUID of most agents. */
#define CLB_ACP_ID 72

/* Ids of our requests, by which their answers are known. */
#define CLB_ACP_HELLO "hello"       /**< the handshake */
#define CLB_ACP_SPARE "spare"       /**< a session for later */
#define CLB_ACP_SESSION "session"   /**< a session for this chat */
#define CLB_ACP_MODEL "model"       /**< its model */
#define CLB_ACP_HISTORY "history"   /**< what was said before */
#define CLB_ACP_PROMPT "prompt"     /**< the turn */

/** What a chat needs before it can be asked. */
typedef struct clb_acp_plan_t {
    const char *session;         /**< given: the id for a session that is
                                      loaded */
    const char *files[CLB_FILES_MAX]; /**< texts; NULL = as they are */
    apr_uint64_t key;            /**< of what its session is made from */
    int loads;                   /**< the session is loaded */
    int tools;                   /**< it has the client's tools */
    int fresh;                   /**< no session will do that was made before */
    int replays;                 /**< updates that repeat what was loaded */
    apr_uint32_t alias;          /**< 0, or the name of its directory that is
                                      kept for its settings */
    apr_int64_t limit;           /**< of tokens, which the model is told of; 0 =
                                      none */
    const char *refusal;         /**< it cannot be asked: why; or NULL */
} clb_acp_plan_t;

/** A call of a tool of the client's. */
typedef struct clb_acp_call_t {
    const char *id;
    const char *name;            /**< as the client knows it, NULL = it does
                                      not */
    const char *arguments;
} clb_acp_call_t;

/** What an update says of the model's calls. */
typedef enum clb_acp_told_e {
    CLB_ACP_NOTHING,
    CLB_ACP_ANNOUNCED,           /**< there is one more to come */
    CLB_ACP_CALL                 /**< here is one */
} clb_acp_told_e;

/** What one kind of agent does its own way. */
typedef struct clb_acp_kind_t {
    void (*plan)(clb_chat_t *chat, clb_acp_plan_t *plan, apr_pool_t *pool);
    /** Write what was said before. @return 1 if the answer must be waited
     *  for; NULL: there is nothing to write */
    int (*history)(clb_chat_t *chat, const char *session, clb_step_t *out);
    /** Write the turn and all that need not be waited for. */
    void (*prompt)(clb_chat_t *chat, const clb_input_t *in,
                   const char *session, clb_step_t *out);
    /** Read a question for permission; NULL: no call comes with one. */
    int (*call)(const clb_chat_t *chat, const clb_json_t *params,
                clb_acp_call_t *call, apr_pool_t *pool);
    /** Read an update of a turn with calls; NULL: it says nothing of them. */
    clb_acp_told_e (*told)(const clb_chat_t *chat, const clb_json_t *update,
                           clb_acp_call_t *call, apr_pool_t *pool);
    const char *first;           /**< what its first session is made from;
                                      NULL = nothing that a chat asks for */
    int shares;                  /**< its sessions all change with the files */
    int cancels;                 /**< one that is refused asks its model again,
                                      unless its turn is cancelled first */
} clb_acp_kind_t;

extern const clb_acp_kind_t clb_acp_gemini;
extern const clb_acp_kind_t clb_acp_qwen;
extern const clb_acp_kind_t clb_acp_plain;

/* --- acp.c --- */

/** The drivers' step. */
void clb_acp_step(void *state, const clb_input_t *in, clb_step_t *out);

/** The kind of agent that @a backend is. */
const clb_acp_kind_t *clb_acp_kind(const clb_backend_t *backend);

/* --- acp_ask.c --- */

/** Write the request @a method, whose answer is known by @a id. */
void clb_acp_request(clb_step_t *out, const char *id, const char *method,
                     const clb_json_t *params);

/** Write the handshake. */
void clb_acp_hello(clb_step_t *out);

/** Write the wish for a session. @param alias as in the plan
 *  @param tools 0, or the number of the session, which has the client's
 *  tools */
void clb_acp_new(const char *id, apr_uint32_t alias, apr_uint64_t tools,
                 clb_step_t *out);

/** The same for one whose history the agent has in a file. */
void clb_acp_load(const char *session, apr_uint64_t tools, clb_step_t *out);

/** Write that the turn is to end. */
void clb_acp_cancel(const char *session, clb_step_t *out);

/** Write the choice of a model. */
void clb_acp_model(const char *session, const char *model, clb_step_t *out);

/** Write the turn: an empty text if @a turn is NULL, because it is known.
 *  @param guard a text that goes before all others, or NULL */
void clb_acp_prompt(const char *session, const char *guard,
                    const clb_message_t *turn, clb_step_t *out);

/** Write that the permission which the agent's request @a id asks for is not
 *  granted. */
void clb_acp_refuse(const clb_json_t *id, clb_step_t *out);

/** Write that nobody does what the agent's request @a id asks for. */
void clb_acp_decline(const clb_json_t *id, clb_step_t *out);

/** FNV-1a over @a text, NULL included, going on from @a hash; 0 begins. */
apr_uint64_t clb_acp_hash(apr_uint64_t hash, const char *text);

/** What of a turn is meant. */
typedef enum clb_acp_parts_e {
    CLB_ACP_WORDS,               /**< all but results */
    CLB_ACP_RESULTS,             /**< those, their images behind them */
    CLB_ACP_RESULTS_WHOLE        /**< with their images in them */
} clb_acp_parts_e;

/** Append parts of the turn @a turn to @a list, as the Gemini API has them.
 *  @param prefix of the tools' names */
void clb_acp_parts(clb_json_t *list, clb_chat_t *chat, int turn,
                   clb_acp_parts_e which, const char *prefix,
                   apr_pool_t *pool);

/* --- acp_settings.c --- */

/** Put sampling parameters and the limit that @a chat gives into @a to.
 *  @param names of temperature, top_p, top_k and the limit */
void clb_acp_sampling(clb_json_t *to, const clb_chat_t *chat,
                      const char *const names[4], apr_pool_t *pool);

/** The schema of the answer, NULL if there is none. */
clb_json_t *clb_acp_schema(const clb_chat_t *chat, apr_pool_t *pool);

/** Why @a settings cannot be read from a file, or NULL. */
const char *clb_acp_refusal(const clb_json_t *settings);

/* --- acp_tools.c --- */

/** The name of the server that has them, which is part of theirs. */
#define CLB_ACP_SERVER "fn"

/** The script by which an agent gets the tools, in the private directory. */
extern const char clb_acp_script[];

/** How a session is told of it: as clb_acp_new(). */
clb_json_t *clb_acp_servers(apr_uint64_t tools, apr_pool_t *pool);

/** 1 if the agent is told of tools. */
int clb_acp_offers(const clb_chat_t *chat);

/** What the script says that the tools of @a chat are. */
const char *clb_acp_tools(const clb_chat_t *chat, apr_pool_t *pool);

/** The agent's name for the client's tool @a name. */
const char *clb_acp_tool_name(const clb_chat_t *chat, const char *name,
                              apr_pool_t *pool);

/** The client's name for the tool the agent knows as @a name, or NULL. */
const char *clb_acp_asked(const clb_chat_t *chat, const char *name,
                          apr_pool_t *pool);

/* --- acp_error.c --- */

/** Write the error that the agent answered the request @a id. */
void clb_acp_fail(const char *id, const clb_json_t *error, clb_step_t *out);

/* --- acp_report.c --- */

extern const clb_question_t clb_acp_gemini_question;
extern const clb_question_t clb_acp_qwen_question;

/* --- acp_gemini.c, acp_qwen.c --- */

/** The arguments of the CLIs. */
void clb_acp_gemini_args(const clb_start_t *start, apr_array_header_t *argv);
void clb_acp_qwen_args(const clb_start_t *start, apr_array_header_t *argv);

/** What one thought of Gemini CLI says. */
const char *clb_acp_thought(const char *text);

#endif
