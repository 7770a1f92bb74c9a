# Sourced by the other scripts: the archives that this machine's own apt uses, so that no host has to be named.

# The URI of Debian's main archive.
debian_mirror() {
    local found
    found=$(_debian_targets '$2 !~ /-/' | head -n 1)
    [[ -n $found ]] || found=$(_debian_files | grep -E '/debian/?$' | head -n 1)
    [[ -n $found ]] && printf '%s\n' "$found"
}

# The URI of Debian's security archive; nothing where apt does not use it.
debian_security_mirror() {
    local found
    found=$(_debian_targets '$2 ~ /-security/' | head -n 1)
    [[ -n $found ]] || found=$(_debian_files | grep -E '/debian-security/?$' | head -n 1)
    printf '%s\n' "$found"
}

# What apt has lists of.
_debian_targets() {
    apt-get indextargets --format '$(SITE) $(RELEASE) $(ORIGIN)' 'Created-By: Packages' 2>/dev/null \
        | awk '$3 == "Debian" && '"$1"' {print $1}'
}

# The same from the files, where apt has no lists yet. One-line style: deb [options] URI suite ...; deb822: URIs: URI ...
_debian_files() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null \
        | sed -nE 's/^deb +(\[[^]]*\] +)?([^ ]+).*/\2/p; s/^URIs: *([^ ]+).*/\1/p'
}
