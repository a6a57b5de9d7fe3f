// attack: exit from inside a getter of the error
// outcome: contract_violation
// detail: result_not_serializable
// retires: crash
function login(email, password, callback) {
  callback({
    get message() {
      process.exit(0);
    },
  });
}
