# bash completion for nhrpctl(8). The words come from the daemon, so that they are those of the one that runs.

_nhrpctl() {
    local -a to_daemon=()
    local index=1 line options
    COMPREPLY=()
    while [ "$index" -lt "$COMP_CWORD" ]; do
        case ${COMP_WORDS[index]} in
        --cacert | --cert | --grpc | --key)
            if [ $((index + 1)) -eq "$COMP_CWORD" ]; then
                mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
                return
            fi
            index=$((index + 2))
            ;;
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
        options="--cacert --cert --command --grpc --help --key --next-words --pathspace --version --vty_socket"
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "${COMP_WORDS[COMP_CWORD]}")
        return
    fi
    # Words of nhrpctl's own.
    if [ "$index" -lt "$COMP_CWORD" ]; then
        case ${COMP_WORDS[index]} in
        get) options="--config --state" ;;
        diff) options="--replace" ;;
        commit) options="--comment --replace" ;;
        *) options="" ;;
        esac
        if [ -n "$options" ]; then
            if [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$options" -- "${COMP_WORDS[COMP_CWORD]}")
            elif [ "${COMP_WORDS[index]}" != get ]; then
                mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
            fi
            return
        fi
    else
        mapfile -t COMPREPLY < <(compgen -W "get diff commit" -- "${COMP_WORDS[COMP_CWORD]}")
    fi
    line="${COMP_WORDS[*]:index:COMP_CWORD - index + 1}"
    # The shell has cut IPv6 addresses at their colons.
    line=${line// :/:}
    line=${line//: /:}
    mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(nhrpctl "${to_daemon[@]}" --next-words "$line" 2>/dev/null)
}

complete -F _nhrpctl nhrpctl
