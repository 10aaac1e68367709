/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what the parent makes of the child's output: the parser of its stream and the cutting of
 * text, with pages and with headings. The first two bytes choose block size and sizes of pieces. */
#include "fuzz_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct chunk_options sizes[] = {
                CHUNK_OPTIONS_DEFAULT, {8, 12, 3, 2}, {60, 100, 20, 10}, {200, 300, 0, 0}};
        const struct chunk_options *options;

        if (size < 2)
                return 0;
        options = &sizes[data[1] % ARRAY_LENGTH(sizes)];
        fuzz_frames((const char *)data + 2, size - 2, 1 + data[0], true, options);
        fuzz_frames((const char *)data + 2, size - 2, 1 + data[0], false, options);
        return 0;
}
