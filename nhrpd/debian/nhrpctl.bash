# bash completion for nhrpctl(8). The words come from the daemon, so that they are those of the one that runs.

_nhrpctl() {
    local -a to_daemon=()
    local index=1 line
    COMPREPLY=()
    while [ "$index" -lt "$COMP_CWORD" ]; do
        case ${COMP_WORDS[index]} in
        -N | --pathspace | --vty_socket)
            if [ $((index + 1)) -eq "$COMP_CWORD" ]; then
                if [ "${COMP_WORDS[index]}" = --vty_socket ]; then
                    mapfile -t COMPREPLY < <(compgen -d -- "${COMP_WORDS[COMP_CWORD]}")
                fi
                return
            fi
            to_daemon+=("${COMP_WORDS[index]}" "${COMP_WORDS[index + 1]}")
            index=$((index + 2))
            ;;
        -*) return ;;
        *) break ;;
        esac
    done
    if [ "$index" -eq "$COMP_CWORD" ] && [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
        local options="--command --help --next-words --pathspace --version --vty_socket"
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "${COMP_WORDS[COMP_CWORD]}")
        return
    fi
    line="${COMP_WORDS[*]:index:COMP_CWORD - index + 1}"
    # The shell has cut IPv6 addresses at their colons.
    line=${line// :/:}
    line=${line//: /:}
    mapfile -t COMPREPLY < <(nhrpctl "${to_daemon[@]}" --next-words "$line" 2>/dev/null)
}

complete -F _nhrpctl nhrpctl
