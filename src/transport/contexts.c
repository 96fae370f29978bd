/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/contexts.h"

void sgp_contexts_init(sgp_contexts_t *contexts, const sgp_contexts_ops_t *ops) {
    *contexts = (sgp_contexts_t){.ops = ops};
    contexts->of[SGP_CONTEXT_AGENT].state = SGP_CONTEXT_ENDED;
}

const sgp_context_t *sgp_contexts_self(const sgp_contexts_t *contexts) {
    return &contexts->of[contexts->ops->self(contexts)];
}

void sgp_contexts_sleep(sgp_contexts_t *contexts, sgp_context_state_t how, uint64_t deadline) {
    int self = contexts->ops->self(contexts);
    sgp_context_t *context = &contexts->of[self];
    context->deadline = deadline;
    context->state = how;
    contexts->ops->sleep(contexts, self);
    context->state = SGP_CONTEXT_WORKS;
}

void sgp_contexts_end_sleep(sgp_contexts_t *contexts, int which) {
    contexts->of[which].state = SGP_CONTEXT_WORKS;
    contexts->ops->wake(contexts, which);
}

void sgp_contexts_poke(sgp_contexts_t *contexts, int which) {
    contexts->of[which].poked = true;
    contexts->ops->wake(contexts, which);
}

void sgp_contexts_poke_all(sgp_contexts_t *contexts) {
    for (int c = 0; c < SGP_CONTEXTS; c++) sgp_contexts_poke(contexts, c);
}

void sgp_contexts_arrived(sgp_contexts_t *contexts) {
    for (int c = 0; c < SGP_CONTEXTS; c++)
        if (contexts->of[c].state == SGP_CONTEXT_WAITS) contexts->ops->wake(contexts, c);
}

bool sgp_contexts_take_poke(sgp_contexts_t *contexts) {
    sgp_context_t *context = &contexts->of[contexts->ops->self(contexts)];
    bool poked = context->poked;
    context->poked = false;
    return poked;
}

void sgp_contexts_pause(sgp_contexts_t *contexts, uint64_t deadline) {
    sgp_context_t *context = &contexts->of[contexts->ops->self(contexts)];
    if (!context->poked) sgp_contexts_sleep(contexts, SGP_CONTEXT_PAUSES, deadline);
    context->poked = false;
}

int sgp_contexts_signal(sgp_contexts_t *contexts) {
    int self = contexts->ops->self(contexts);
    sgp_contexts_poke(contexts, self == SGP_CONTEXT_FIRST ? SGP_CONTEXT_AGENT : SGP_CONTEXT_FIRST);
    return self;
}

void sgp_contexts_begin_agent(sgp_contexts_t *contexts, void (*body)(void *context),
                              void *context) {
    contexts->body = body;
    contexts->body_context = context;
    contexts->of[SGP_CONTEXT_AGENT].state = SGP_CONTEXT_WORKS;
}

void sgp_contexts_end_agent(sgp_contexts_t *contexts) {
    contexts->of[SGP_CONTEXT_AGENT].state = SGP_CONTEXT_ENDED;
    sgp_contexts_poke(contexts, SGP_CONTEXT_FIRST);
}

void sgp_contexts_await_agent(sgp_contexts_t *contexts) {
    while (contexts->of[SGP_CONTEXT_AGENT].state != SGP_CONTEXT_ENDED)
        sgp_contexts_pause(contexts, UINT64_MAX);
}
