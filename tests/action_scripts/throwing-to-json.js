// action: login
// args: ["alice@example.com","correct horse"]
// outcome: contract_violation
// detail: result_not_serializable
// message: can not be shown
function login(email, password, callback) {
  callback(null, {
    toJSON() {
      throw new Error('can not be shown');
    },
  });
}
