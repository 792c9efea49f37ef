# mod_clibridge. `make help` lists what there is to make.

APXS     ?= $(firstword $(wildcard /usr/bin/apxs /usr/sbin/apxs) apxs)
HTTPD    ?= $(firstword $(wildcard /usr/sbin/apache2 /usr/sbin/httpd) apache2)
CLANG    ?= clang
BUILD    ?= build
PORT     ?= 8030
HOST     ?= 127.0.0.1
PREFIX   ?= /usr

# what the sources need, by the names of Debian 12
PACKAGES := gcc make apache2 apache2-dev libapr1-dev libaprutil1-dev \
            libjansson-dev

SOURCES  := mod_clibridge.c $(wildcard src/*/*.c)
CANARIES := $(BUILD)/src/backend/canaries
OBJECTS  := $(SOURCES:%.c=$(BUILD)/%.o) $(CANARIES).o
MODULE   := $(BUILD)/mod_clibridge.so

# everything that knows nothing of httpd: what unit tests and fuzzers link
PURE     := $(filter $(BUILD)/src/core/% $(BUILD)/src/api/% \
              $(BUILD)/src/backend/% $(BUILD)/src/shm/% $(BUILD)/src/acct/% \
              $(BUILD)/src/proc/wire.o $(BUILD)/src/proc/stub%.o,\
              $(OBJECTS))

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wvla -Wformat=2 -Werror -Wno-unused-parameter
CFLAGS   ?= -O2 -g
CPPFLAGS_ALL := -D_GNU_SOURCE $(shell $(APXS) -q EXTRA_CPPFLAGS 2>/dev/null) \
            -I$(shell $(APXS) -q INCLUDEDIR 2>/dev/null) \
            $(shell apr-1-config --includes --cppflags 2>/dev/null)
CFLAGS_ALL = -std=gnu99 -fPIC -fstack-protector-strong $(WARNINGS) \
            $(CFLAGS) $(CPPFLAGS) $(SANITIZE)
LIBS     := $(shell apr-1-config --link-ld 2>/dev/null) \
            $(shell apu-1-config --link-ld 2>/dev/null) -ljansson -lm

UNITS    := $(patsubst t/unit/%.c,$(BUILD)/t/unit/%,$(wildcard t/unit/*.c))
FUZZERS  := $(patsubst t/fuzz/%.c,%,$(filter-out t/fuzz/replay.c,\
              $(wildcard t/fuzz/*.c)))
REPLAYS  := $(FUZZERS:%=$(BUILD)/t/fuzz/%)
LOADERS  := $(patsubst t/load/%.c,$(BUILD)/t/load/%,$(wildcard t/load/*.c))

.PHONY: all help run run-now install-now test check bench asan soak unit fuzz \
        install uninstall key login \
        packages clean

all: packages
	@$(MAKE) --no-print-directory $(MODULE)

help:
	@echo 'make              build $(MODULE)'
	@echo 'make run          build and serve http://$(HOST):$(PORT) with the CLIs on PATH'
	@echo '                  (PORT=9000 CLI_USER=alice STATE_DIR=… HOST=… KEYS=FILE UNTESTED=warn)'
	@echo 'make test         run every test; fetches the CLIs the tests drive'
	@echo 'make check        the tests that need no CLI: unit, fuzz corpora, conf, api, proc'
	@echo 'make bench        measure: by hand, through the bridge (ROWS="turns latency")'
	@echo 'make asan         api and proc tests under ASan and UBSan'
	@echo 'make soak         random clients, kills and restarts for MINUTES=30'
	@echo 'make fuzz T=json  fuzz one parser for SECONDS=60'
	@echo 'make key NAME=me  make a client key, print it once (FILE=… SCOPES=chat)'
	@echo 'make login        log a CLI in: BACKEND=claude (ACCOUNT= ARGS= CONF=httpd.conf)'
	@echo 'make install      install module, configuration, man page (DESTDIR= PREFIX=)'
	@echo 'make uninstall    remove them'
	@echo 'make clean        remove $(BUILD)'

# Missing packages are installed when root asks, and named otherwise.
packages:
	@sh conf/packages $(PACKAGES)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo CC $<
	@$(CC) $(CFLAGS_ALL) $(CPPFLAGS_ALL) -MMD -MP -c $< -o $@

# what each version of a CLI is known to send, as C
$(CANARIES).c: $(sort $(wildcard src/backend/canary/*.json)) Makefile
	@mkdir -p $(@D)
	@{ echo '#include "canary.h"'; \
	  echo 'const clb_canary_t clb_canaries[] = {'; \
	  for file in $(filter %.json,$^); do \
	    name=$$(basename $$file .json); \
	    echo "{ \"$${name%%-*}\", \"$${name#*-}\","; \
	    sed 's/[\\"]/\\&/g; s/.*/"&\\n"/' $$file; \
	    echo '},'; \
	  done; \
	  echo '{ NULL, NULL, NULL } };'; } >$@.new
	@mv $@.new $@

$(CANARIES).o: $(CANARIES).c
	@echo CC $<
	@$(CC) $(CFLAGS_ALL) $(CPPFLAGS_ALL) -iquote src/backend -MMD -MP \
	  -c $< -o $@

# only the module record is visible: httpd loads modules into one name space
$(MODULE): $(OBJECTS) conf/exports.map
	@echo LD $@
	@$(CC) -shared $(SANITIZE) -Wl,--version-script=conf/exports.map \
	  -Wl,-z,now,-z,relro,--as-needed -o $@.new $(OBJECTS) -ljansson -lm
	@mv $@.new $@    # a running server has the old file mapped

# In a make of their own: what is found of httpd is found after the packages
# are there.
run: PACKAGES += curl
run install: packages
	@exec $(MAKE) --no-print-directory -s $@-now

run-now: $(MODULE)
	@HTTPD='$(HTTPD)' LIBEXECDIR='$(shell $(APXS) -q LIBEXECDIR 2>/dev/null)' \
	  MODULE='$(abspath $(MODULE))' \
	  exec sh conf/run '$(HOST)' '$(PORT)' '$(CLI_USER)'

$(BUILD)/t/unit/%: t/unit/%.c $(wildcard t/unit/*.h) t/fuzz/turn.h $(PURE)
	@mkdir -p $(@D)
	@echo LD $@
	@$(CC) $(CFLAGS_ALL) $(CPPFLAGS_ALL) -o $@ $< $(PURE) $(LIBS)

$(BUILD)/t/fuzz/%: t/fuzz/%.c t/fuzz/replay.c t/fuzz/turn.h t/fuzz/chat.h \
                   $(PURE)
	@mkdir -p $(@D)
	@echo LD $@
	@$(CC) $(CFLAGS_ALL) $(CPPFLAGS_ALL) -o $@ $< t/fuzz/replay.c $(PURE) $(LIBS)

$(BUILD)/t/load/%: t/load/%.c
	@mkdir -p $(@D)
	@echo LD $@
	@$(CC) -std=gnu99 $(WARNINGS) $(CFLAGS) -o $@ $<

unit: $(UNITS) $(REPLAYS)

fuzz: $(CANARIES).c
	@mkdir -p $(BUILD)/fuzz
	$(CLANG) -std=gnu99 -g -O1 -fsanitize=fuzzer,address,undefined \
	  $(CPPFLAGS_ALL) -DFUZZING -o $(BUILD)/fuzz/$(T) t/fuzz/$(T).c \
	  $(patsubst $(BUILD)/%.o,%.c,$(filter-out $(CANARIES).o,$(PURE))) \
	  -iquote src/backend $(CANARIES).c $(LIBS)
	mkdir -p $(BUILD)/fuzz/$(T).corpus
	$(BUILD)/fuzz/$(T) -max_total_time=$(or $(SECONDS),60) \
	  -artifact_prefix=$(BUILD)/fuzz/ $(BUILD)/fuzz/$(T).corpus t/data/fuzz/$(T)

test check: packages
	@$(MAKE) --no-print-directory $(MODULE) unit
	@BUILD='$(abspath $(BUILD))' sh t/TEST $@ $(TESTS)

bench: packages
	@$(MAKE) --no-print-directory $(MODULE) $(LOADERS)
	@BUILD='$(abspath $(BUILD))' sh t/TEST $@ $(ROWS)

asan: packages
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan CFLAGS='-O1 -g' \
	  SANITIZE='-fsanitize=address,undefined -fno-omit-frame-pointer' \
	  $(BUILD)/asan/mod_clibridge.so
	@BUILD='$(abspath $(BUILD))/asan' CLIBRIDGE_ASAN=1 sh t/TEST api-proc $(TESTS)

soak: packages
	@$(MAKE) --no-print-directory $(MODULE)
	@CLIBRIDGE_CLIS=$$(sh t/bin/fetch-clis) && export CLIBRIDGE_CLIS && \
	  CLIBRIDGE_MODULE='$(abspath $(MODULE))' MINUTES='$(MINUTES)' \
	  exec perl t/load/soak

key:
	@sh conf/clibridge-key '$(NAME)' '$(FILE)' '$(SCOPES)'

login:
	@sh conf/clibridge-login $(if $(CONF),-f '$(CONF)') '$(BACKEND)' $(ACCOUNT) $(ARGS)

LIBEXECDIR = $(shell $(APXS) -q LIBEXECDIR)
SYSCONFDIR = $(shell $(APXS) -q SYSCONFDIR)
CONFDIR    = $(if $(wildcard $(SYSCONFDIR)/mods-available),$(SYSCONFDIR)/mods-available,$(SYSCONFDIR)/conf.d)

install-now: $(MODULE)
	install -D -m 644 $(MODULE) $(DESTDIR)$(LIBEXECDIR)/mod_clibridge.so
	install -D -m 644 conf/clibridge.load $(DESTDIR)$(CONFDIR)/clibridge.load
	sed -i 's|/usr/lib/apache2/modules|$(LIBEXECDIR)|' \
	  $(DESTDIR)$(CONFDIR)/clibridge.load
	test -e $(DESTDIR)$(CONFDIR)/clibridge.conf || \
	  install -D -m 644 conf/clibridge.conf $(DESTDIR)$(CONFDIR)/clibridge.conf
	install -D -m 644 conf/clibridge-tls.conf \
	  $(DESTDIR)$(PREFIX)/share/doc/mod-clibridge/clibridge-tls.conf
	install -D -m 755 conf/clibridge-key $(DESTDIR)$(PREFIX)/sbin/clibridge-key
	install -D -m 755 conf/clibridge-login $(DESTDIR)$(PREFIX)/sbin/clibridge-login
	install -D -m 644 conf/mod_clibridge.8 $(DESTDIR)$(PREFIX)/share/man/man8/mod_clibridge.8

uninstall:
	rm -f $(DESTDIR)$(LIBEXECDIR)/mod_clibridge.so \
	  $(DESTDIR)$(CONFDIR)/clibridge.load \
	  $(DESTDIR)$(PREFIX)/sbin/clibridge-key \
	  $(DESTDIR)$(PREFIX)/sbin/clibridge-login \
	  $(DESTDIR)$(PREFIX)/share/man/man8/mod_clibridge.8
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/mod-clibridge

clean:
	rm -rf $(BUILD)

-include $(OBJECTS:.o=.d)
