// action: login
// args: ["alice@example.com","correct horse"]
// level: process
// outcome: contract_violation
// detail: output_flood
// retires: output_flood
function login(email, password, callback) {
  const write = () => process.stdout.write('x'.repeat(65536), write);
  write();
}
