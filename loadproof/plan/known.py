"""Which inventory variables we use, which ones of Ansible's we know and do not use, and which are misspelt."""

from __future__ import annotations

from loadproof.plan.allowed import nearest, one_slip

# Ours, all optional.
OURS = ("loadproof_address", "loadproof_port", "loadproof_python", "loadproof_platform")

# Ansible's that we read; the later one of a row wins, as in Ansible's ssh plugin.
ALIASES: dict[str, tuple[str, ...]] = {
    "ansible_host": ("ansible_host", "ansible_ssh_host"),
    "ansible_port": ("ansible_port", "ansible_ssh_port"),
    "ansible_user": ("ansible_user", "ansible_ssh_user"),
    "ansible_ssh_private_key_file": ("ansible_private_key_file", "ansible_ssh_private_key_file"),
    "ansible_ssh_common_args": ("ansible_ssh_common_args",),
    "ansible_ssh_extra_args": ("ansible_ssh_extra_args",),
    "ansible_connection": ("ansible_connection",),
    "ansible_python_interpreter": ("ansible_python_interpreter",),
}

# Known and without a meaning here, but a person may count on them: said once per variable.
SAID = {
    "ansible_password": "login is by key",
    "ansible_ssh_pass": "login is by key",
    "ansible_ssh_password": "login is by key",
    "ansible_become_password": "login as root or with passwordless sudo",
    "ansible_become_pass": "login as root or with passwordless sudo",
    "ansible_sudo_pass": "login as root or with passwordless sudo",
    "ansible_become_method": "root is reached by sudo",
    "ansible_become_user": "root does the work",
    "ansible_ssh_args": "say ansible_ssh_common_args for what must hold here too",
    "ansible_ssh_executable": "sessions are our own, set up as `ssh -G` says",
    "ansible_private_key_passphrase": "use an ssh agent",
    "ansible_ssh_private_key_passphrase": "use an ssh agent",
    "ansible_ssh_private_key": "say ansible_ssh_private_key_file",
    "ansible_private_key": "say ansible_ssh_private_key_file",
}

# Known, and of no concern to us: never called misspelt.
_IGNORED = """
async_dir become become_exe become_flags check_mode cliconf_type collection_name common_remote_group config_file
connection_timeout control_path control_path_dir delegated_vars dependent_role_names diff_mode executable forks
group_priority host_key_checking index_var inventory_sources keep_remote_files limit local_tmp loop loop_var
module_compression net_become network_cli_ssh_type network_os no_log no_target_syslog parent_role_names password_store
persistent_command_timeout persistent_connect_timeout persistent_log_messages pipelining play_batch play_hosts
play_hosts_all play_name playbook_python remote_addr remote_tmp remote_user role_name role_names run_tags scp_executable
scp_extra_args scp_if_ssh search_path serialized_pw sftp_batch_mode sftp_executable sftp_extra_args shell_allow_world_readable_temp
shell_executable shell_type skip_tags ssh_control_path ssh_control_path_dir ssh_executable ssh_host_key_checking
ssh_password_mechanism ssh_pipelining ssh_pkcs11_provider ssh_retries ssh_timeout ssh_transfer_method ssh_use_tty
ssh_verbosity sshpass_prompt su su_pass su_user sudo sudo_exe sudo_flags sudo_user system_warnings terminal_type timeout
unsafe_writes verbosity version winrm_transport
all_ipv4_addresses all_ipv6_addresses apparmor architecture bios_date bios_version cmdline date_time default_ipv4
default_ipv6 device_links devices distribution distribution_file_path distribution_file_variety distribution_major_version
distribution_release distribution_version dns domain effective_group_id effective_user_id env facts fibre_channel_wwn
fips form_factor fqdn hostname hostnqn interfaces is_chroot iscsi_iqn kernel kernel_version local locally_reachable_ips
loadavg lsb lvm machine machine_id memfree_mb memory_mb memtotal_mb mounts nodename os_family pkg_mgr proc_cmdline
processor processor_cores processor_count processor_nproc processor_vcpus product_name product_version python
python_version real_group_id real_user_id selinux service_mgr swapfree_mb swaptotal_mb system system_vendor uptime_seconds
user_dir user_gecos user_gid user_id user_shell user_uid userspace_architecture userspace_bits virtualization_role
virtualization_type
"""
IGNORED = frozenset(f"ansible_{word}" for word in _IGNORED.split())
# Families of variables that belong to other connections, and interpreters of other languages.
FAMILIES = ("winrm_", "psrp_", "paramiko_", "httpapi_", "netconf_", "docker_", "podman_", "kubectl_", "libssh_", "aws_", "ssm_",
            "lxd_", "jail_", "chroot_", "network_", "persistent_", "become_", "local_", "eth", "en", "wlan", "br")  # fmt: skip


_USED = frozenset(alias for row in ALIASES.values() for alias in row)


def misspelt(name: str) -> str:
    """The sentence that is due for a variable that nobody knows, or "" for a fine or a foreign one."""
    if name in OURS or name in _USED or name in SAID or name in IGNORED:
        return ""
    if name.startswith("loadproof_"):
        near = nearest(name.removeprefix("loadproof_"), [key.removeprefix("loadproof_") for key in OURS], 0.0)
        return f"there is no {name}; did you mean loadproof_{near}?"
    if not name.startswith("ansible_"):
        meant = _with_its_prefix(name)
        return f"there is no {name}; did you mean {meant}?" if meant else ""
    word = name.removeprefix("ansible_")
    if word.endswith("_interpreter"):
        return ""
    # The common beginning would make everything look alike, so the rest is compared.
    near = nearest(word, [key.removeprefix("ansible_") for key in (*_USED, *SAID, *IGNORED)], 0.7)
    if not near or (word.startswith(FAMILIES) and f"ansible_{near}" not in _USED):
        return ""
    return f"there is no {name}; did you mean ansible_{near}?"


def _with_its_prefix(name: str) -> str:
    """The key that a variable is when one slip in its beginning, or its hyphens, are put right; "" for a foreign one.

    Only what we use, and to the letter but for that slip: http_port and my_ansible_user are somebody else's.
    """
    plain = name.replace("-", "_")
    for key in sorted({*OURS, *_USED}):
        first, line, word = key.partition("_")
        if plain.endswith(word) and one_slip(plain.removesuffix(word), first + line):
            return key
    return ""
