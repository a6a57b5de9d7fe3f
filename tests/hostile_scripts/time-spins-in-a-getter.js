// attack: let the harness itself spin, in a getter of the profile
// deadline: 1
// outcome: timed_out
// detail: cpu_bound
// retires: timeout
function login(email, password, callback) {
  callback(null, {
    get user_id() {
      for (;;);
    },
  });
}
