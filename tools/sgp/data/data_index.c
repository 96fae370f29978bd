/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp data index`: writes the indexes of shards that another program has made. */
#include "data/data_jobs.h"
#include "cli/exit_status.h"
#include "cli/message.h"
#include "data/parallel.h"
#include "data/shard_writer.h"

#include "data/formats/names.h"
#include "data/formats/shard_files.h"
#include "data/formats/shard_scan.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

typedef struct indexing {
    const char *directory;
    names_t shards;
    atomic_uint_fast64_t samples;
} indexing_t;

static int index_shard(void *context, parallel_t *parallel, int thread, uint64_t item) {
    indexing_t *indexing = context;
    const char *name = names_at(&indexing->shards, item);
    char problem[SHARD_INDEX_PROBLEM];
    shard_index_t index = {0};
    uint64_t bytes;
    int file, status = 0;
    (void)thread;
    if (shard_files_open(indexing->directory, name, &file, &bytes)) return EXIT_FAILED;
    if (shard_scan(file, bytes, &index, problem)) {
        message_error("%s/%s: %s", indexing->directory, name, problem);
        status = EXIT_FAILED;
    } else if (!shard_writer_index(indexing->directory, name, &index)) {
        status = EXIT_FAILED;
    }
    close(file);
    atomic_fetch_add(&indexing->samples, index.count);
    shard_index_fini(&index);
    parallel_advance(parallel, 1);
    return status;
}

int data_index(const data_settings_t *settings) {
    indexing_t indexing = {.directory = settings->data};
    int status = EXIT_MISTAKE;
    sgp_status_t listed = shard_files_list(settings->data, SOURCE_TRAIN, &indexing.shards);
    if (!listed) listed = shard_files_list(settings->data, SOURCE_TEST, &indexing.shards);
    if (!listed && indexing.shards.count == 0)
        message_error("index: %s: has no shards, such as train-000000.tar", settings->data);
    if (!listed && indexing.shards.count > 0)
        status = parallel_run(&(parallel_options_t){.about = "index",
                                                    .threads = settings->threads,
                                                    .quiet = true, /* a matter of seconds */
                                                    .items = indexing.shards.count,
                                                    .samples = indexing.shards.count,
                                                    .body = index_shard,
                                                    .context = &indexing});
    if (status == 0 && !settings->quiet)
        printf("indexed     %zu shards with %llu pictures\n", indexing.shards.count,
               (unsigned long long)atomic_load(&indexing.samples));
    names_fini(&indexing.shards);
    return status;
}
