// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

/// A bank that is guarded by OpenZeppelin against being entered twice.
contract SafeBank is ReentrancyGuard {
    mapping(address => uint256) public balance;

    function put() external payable {
        balance[msg.sender] += msg.value;
    }

    function take() external nonReentrant {
        (bool ok, ) = msg.sender.call{value: balance[msg.sender]}("");
        require(ok, "no payment");
        balance[msg.sender] = 0;
    }
}
