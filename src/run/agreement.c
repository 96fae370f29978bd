/* SPDX-License-Identifier: Apache-2.0 */
#include "run/agreement.h"

#include "base/logging.h"
#include "group/group_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void agreement_init(agreement_t *agreement) {
    memset(agreement, 0, sizeof *agreement);
}

void agreement_add(agreement_t *agreement, const char *name, const char *format, ...) {
    char value[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    size_t room = AGREEMENT_BYTES - agreement->length;
    int length = snprintf(agreement->text + agreement->length, room, "%s=%s\n", name, value);
    agreement->length += (size_t)length < room ? (size_t)length : room - 1;
}

/* Splits the line at `text`; returns the next one. At the end of the list both strings are
 * empty. */
static const char *parse_line(const char *text, char name[64], char value[256]) {
    size_t line = strcspn(text, "\n"), key = strcspn(text, "=\n");
    snprintf(name, 64, "%.*s", (int)key, text);
    size_t start = key < line ? key + 1 : line;
    snprintf(value, 256, "%.*s", (int)(line - start), text + start);
    return text + line + (text[line] == '\n');
}

bool agreement_compare(const agreement_t *all, int size, agreement_difference_t *difference) {
    int first = 0;
    while (first < size && all[first].length == 0) first++;
    difference->first = first;
    for (int node = first + 1; node < size; node++) {
        if (all[node].length == 0) continue;
        const char *mine = all[node].text, *theirs = all[first].text;
        while (*mine || *theirs) {
            char name0[64];
            mine = parse_line(mine, difference->name, difference->value);
            theirs = parse_line(theirs, name0, difference->value0);
            bool same = strcmp(difference->name, name0) == 0 &&
                        strcmp(difference->value, difference->value0) == 0;
            if (same) continue;
            difference->node = node;
            return true;
        }
    }
    return false;
}

static void log_difference(sgp_group_t *group, const agreement_difference_t *difference) {
    const sgp_transport_t *transport = sgp_group_transport(group);
    sgp_rank_name_t there, first;
    sgp_fail(SGP_ERR_MISMATCH, "%s is %s on %s, but %s on %s: all nodes need the same",
             difference->name, difference->value,
             sgp_transport_name(transport, difference->node, &there), difference->value0,
             sgp_transport_name(transport, difference->first, &first));
}

sgp_status_t agreement_check(sgp_group_t *group, const agreement_t *mine) {
    int size = sgp_group_capacity(group), rank = sgp_group_rank(group);
    agreement_t *all = malloc((size_t)size * sizeof *all);
    if (!all) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory to compare %d nodes", size);
    agreement_difference_t difference;
    sgp_status_t status = sgp_group_gather(group, mine, sizeof *mine, all);
    for (int node = 0; node < size && !status; node++) all[node].text[AGREEMENT_BYTES - 1] = '\0';
    if (!status && agreement_compare(all, size, &difference)) {
        status = SGP_ERR_MISMATCH;
        if (rank == difference.first || rank == difference.node) log_difference(group, &difference);
    }
    free(all);
    return status;
}

sgp_status_t agreement_share(sgp_group_t *group, sgp_status_t mine) {
    int size = sgp_group_capacity(group);
    int32_t code = mine;
    int32_t all[size];
    sgp_status_t status = sgp_group_gather(group, &code, sizeof code, all);
    if (mine) return mine;
    for (int node = 0; node < size && !status; node++) {
        status = (sgp_status_t)all[node];
        /* That node has logged the cause. */
        sgp_rank_name_t name;
        if (status)
            sgp_log(SGP_LOG_INFO, "ended by %s: %s",
                    sgp_transport_name(sgp_group_transport(group), node, &name),
                    sgp_status_message(status));
    }
    return status;
}
