// attack: handle every signal, so that nothing ends it
// deadline: 1
// outcome: timed_out
// detail: cpu_bound
// retires: timeout
function login(email, password, callback) {
  for (const signal of Object.keys(require('os').constants.signals)) {
    try {
      process.on(signal, () => {});
    } catch {}
  }
  for (;;);
}
