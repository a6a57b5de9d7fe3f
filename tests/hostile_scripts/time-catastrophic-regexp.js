// attack: a regular expression that backtracks for ever
// deadline: 1
// outcome: timed_out
// detail: cpu_bound
// retires: timeout
function login(email, password, callback) {
  callback(null, { user_id: /^(\w+\s?)*$/.test(`${'a'.repeat(60)}!`) });
}
