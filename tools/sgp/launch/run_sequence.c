/* SPDX-License-Identifier: Apache-2.0 */
#include "launch/run_sequence.h"

#include "cli/exit_status.h"
#include "cli/message.h"
#include "cli/options.h"
#include "cli/output.h"
#include "launch/child.h"

#include "files/json.h"

#include <stdio.h>
#include <string.h>

/* Whether the run's summary records that it diverged or failed. */
static bool has_failure(const char *directory) {
    char path[OUTPUT_PATH];
    if (snprintf(path, sizeof path, "%s/summary.json", directory) >= (int)sizeof path) return false;
    json_t *summary = files_json_load(path, 0, NULL);
    const char *status = json_string_value(json_object_get(summary, "status"));
    bool failed = status && option_listed("diverged, failed", status);
    json_decref(summary);
    return failed;
}

/* Returns the run's exit status. */
static int train(const sequence_run_t *run, const char *number, bool last, int *stopped) {
    int status = child_run(run->argv, stopped);
    if (status && !*stopped)
        message_error("compare: %s, %s, failed (exit status %d)%s", run->name, number, status,
                      last ? "" : "; going on with the others");
    return status;
}

int run_sequence(const sequence_run_t *runs, int count, bool quiet, const char **reported,
                 int *reported_count) {
    int result = 0, stopped = 0, finished = 0;
    *reported_count = 0;
    for (int i = 0; i < count && !stopped; i++) {
        char number[48];
        snprintf(number, sizeof number, "run %d of %d", i + 1, count);
        if (!quiet)
            message_line("%s%s: %s, in %s", i ? "\n" : "", number, runs[i].name, runs[i].directory);
        int status = train(&runs[i], number, i + 1 == count, &stopped);
        if (status == 0) finished++;
        else result = EXIT_FAILED;
        if (status == 0 || (!stopped && has_failure(runs[i].directory)))
            reported[(*reported_count)++] = runs[i].directory;
    }
    if (stopped)
        message_error("compare: stopped (%s); %d of %d runs are finished", strsignal(stopped),
                      finished, count);
    return stopped ? 128 + stopped : result;
}
