/* SPDX-License-Identifier: Apache-2.0 */
#include "run/run_joins.h"

#include "base/logging.h"

#include <stdlib.h>
#include <string.h>

sgp_status_t run_joins_add(run_joins_t *joins, const train_join_t *more, int count) {
    int room = joins->count + count;
    if (room > joins->room) {
        room += room / 2;
        train_join_t *grown = realloc(joins->list, (size_t)room * sizeof *grown);
        if (!grown) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d joins", room);
        joins->list = grown;
        joins->room = room;
    }
    if (count > 0) memcpy(joins->list + joins->count, more, (size_t)count * sizeof *more);
    joins->count += count;
    return SGP_OK;
}

void run_joins_fini(run_joins_t *joins) {
    free(joins->list);
    *joins = (run_joins_t){.list = NULL};
}
